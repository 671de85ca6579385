#!/usr/bin/env python3
"""read_vaultgres.py DIRECTORY: prints what a database that was closed in order holds, in the manner of listing_support.h.

Shares nothing with the engine: written from docs/FILE_FORMAT.md, as a proof that the page says enough. Checks the checksum
of every page that it reads.
"""
import struct
import sys

PAGE_BYTES = 8192
NO_PAGE = 0xFFFFFFFF
MAP, HEAP, LEAF, INTERNAL, OVERFLOW = 3, 4, 5, 6, 7  # types of pages
TYPES = {1: ("int16", "h"), 2: ("int32", "i"), 3: ("int64", "q"), 4: ("double", "d"), 5: ("bool", "B"),
         6: ("text", ""), 7: ("bytes", ""), 8: ("date", "i"), 9: ("timestamp", "q")}
CRC_TABLE = list(range(256))
for _ in range(8):
    CRC_TABLE = [crc >> 1 ^ 0x82F63B78 * (crc & 1) for crc in CRC_TABLE]


def crc32c(seed, data):
    for byte in data:
        seed = seed >> 8 ^ CRC_TABLE[(seed ^ byte) & 0xFF]
    return seed


def fail(what):
    sys.exit("read_vaultgres: " + what)


class Database:
    def __init__(self, directory):
        with open(directory + "/data.vg", "rb") as file:
            self.data = file.read()
        self.pages = {}
        copies = [copy for copy in map(self.superblock, (0, 1)) if copy]
        if not copies:
            fail("no superblock is good")
        self.id = max(copies)[1]

    def raw(self, number, database):
        """The page, and whether its checksum is right."""
        page = self.data[number * PAGE_BYTES:(number + 1) * PAGE_BYTES]
        if len(page) != PAGE_BYTES:
            fail(f"page {number} lies beyond the end of the file")
        database = database or page[40:56]
        crc = crc32c(crc32c(0xFFFFFFFF, database + struct.pack("<I", number) + page[:8]), page[16:])
        return page, crc == struct.unpack_from("<Q", page, 8)[0]

    def superblock(self, number):
        page, good = self.raw(number, None)
        magic, version, page_bytes, database, sequence = struct.unpack_from("<8sII16sQ", page, 24)
        if magic == b"VAULTGS1" and (version, page_bytes) != (1, PAGE_BYTES):
            fail(f"version {version} with pages of {page_bytes} bytes is not known")
        return (sequence, database) if good and magic == b"VAULTGS1" and sequence % 2 == number else None

    def page(self, number, kind, owner):
        """A page with a good checksum, of the type and the object that are expected."""
        if number not in self.pages:
            self.pages[number], good = self.raw(number, self.id)
            if not good:
                fail(f"page {number} has a wrong checksum")
        page = self.pages[number]
        found_owner, found_kind = struct.unpack_from("<IB", page, 16)
        if found_kind not in kind or found_owner != owner:
            fail(f"page {number} is of type {found_kind} and object {found_owner}, wanted {kind} and {owner}")
        return page

    def entries(self, root, owner):
        """(key, value) of all entries that are no ghosts, in order."""
        node = Node(self.page(root, (LEAF, INTERNAL), owner))
        while node.level > 0:
            child = struct.unpack("<I", next(iter(node))[2])[0]
            above, node = node, Node(self.page(child, (LEAF, INTERNAL), owner))
            if node.level != above.level - 1:
                fail(f"page {child} is on level {node.level}")
        while True:
            for flags, key, value in node:
                if not flags & 1:
                    yield key, self.chain(value, owner) if flags & 4 else value
            if node.right == NO_PAGE:
                return
            right = Node(self.page(node.right, (LEAF,), owner))
            if right.low != node.high:
                fail(f"page {node.right} does not begin where its left neighbour ends")
            node = right

    def chain(self, reference, owner):
        length, page_number = struct.unpack("<QI4x", reference)
        value = b""
        while page_number != NO_PAGE:
            page = self.page(page_number, (OVERFLOW,), owner)
            page_number, used = struct.unpack_from("<II", page, 24)
            value += page[32:32 + used]
            if len(value) > length:
                fail("a chain is longer than its reference says")
        if len(value) < length:
            fail("a chain is shorter than its reference says")
        return value

    def heap_pages(self, root, owner):
        page = self.page(root, (MAP,), owner)
        level, count = struct.unpack_from("<BxH", page, 24)
        for number in struct.unpack_from(f"<{count}I", page, 40):
            yield from (number,) if level == 0 else self.heap_pages(number, owner)

    def slot(self, number, slot, owner):
        """(kind, ghost, overflow, content)"""
        page = self.page(number, (HEAP,), owner)
        place, length = struct.unpack_from("<HH", page, 40 + 4 * slot)
        begin = (place & 0x1FFF) + 2
        return place >> 13 & 3, place >> 15, length >> 13 & 1, page[begin:begin + (length & 0x1FFF)]

    def rows(self, root, owner):
        """(TID, row) in the order of the heap."""
        for index, number in enumerate(self.heap_pages(root, owner)):
            page = self.page(number, (HEAP,), owner)
            if struct.unpack_from("<I", page, 36)[0] != index:
                fail(f"page {number} is not heap page {index}")
            for slot in range(struct.unpack_from("<H", page, 24)[0]):
                kind, ghost, overflow, content = self.slot(number, slot, owner)
                if ghost or kind not in (1, 2):
                    continue
                if kind == 2:
                    kind, _, overflow, body = self.slot(*struct.unpack(">IH", content), owner)
                    if kind != 3 or body[:6] != struct.pack(">IH", number, slot):
                        fail(f"row {number}.{slot} has lost its body")
                    content = body[6:]
                yield (number, slot), self.chain(content, owner) if overflow else content


class Node:
    def __init__(self, page):
        self.page = page
        (self.level, self.flags, self.count, self.right, prefix, low, high, self.capacity, _, _, self.key_bytes,
         self.value_bytes) = struct.unpack_from("<BBHIHHHHHHHH", page, 24)
        self.low = page[PAGE_BYTES - low:]
        self.fences = PAGE_BYTES - low - high
        self.high = page[self.fences:self.fences + high] if self.flags & 2 else None
        self.prefix = self.low[:prefix]

    def __iter__(self):
        """(flags, key, value) of each entry."""
        for index in range(self.count):
            head = struct.pack(">I", struct.unpack_from("<I", self.page, 128 + 4 * index)[0])
            if self.flags & 1:
                suffix = max(0, self.key_bytes - len(self.prefix))
                value_bytes = self.value_bytes
                stride = 1 + max(0, suffix - 4) + value_bytes
                begin = self.fences - (index + 1) * stride
                flags = self.page[begin]
                begin += 1
            else:
                slot = struct.unpack_from("<H", self.page, 128 + 4 * self.capacity + 2 * index)[0]
                flags, begin = slot >> 13, slot & 0x1FFF
                suffix, value_word = struct.unpack_from("<HH", self.page, begin)
                begin, value_bytes = begin + 4, value_word & 0x3FFF
            value_at = begin + max(0, suffix - 4)
            key = self.prefix + head[:min(4, suffix)] + self.page[begin:value_at]
            if self.level > 0 and index == 0:
                key = self.low
            yield flags, key, self.page[value_at:value_at + value_bytes]


# --- Catalog, rows, keys


def parse_catalog(value):
    version, kind, _, owner, root = struct.unpack_from("<BBHII", value)
    if version != 1:
        fail(f"a catalog row of version {version}")
    entry = {"kind": kind, "object": owner, "root": root}
    if kind == 2:
        count, at = struct.unpack_from("<H2x", value, 12)[0], 16
        entry["columns"] = []
        for _ in range(count):
            column_type, flags, name_bytes = struct.unpack_from("<BBBx", value, at)
            at += 4 + name_bytes
            entry["columns"].append((value[at - name_bytes:at], column_type, bool(flags & 1)))
    if kind == 3:
        entry["table"], flags, count = struct.unpack_from("<IBB2x", value, 12)
        entry["unique"] = bool(flags & 1)
        parts = (struct.unpack_from("<HBx", value, 20 + 4 * i) for i in range(count))
        entry["parts"] = [(place, bool(part_flags & 1)) for place, part_flags in parts]
    return entry


def parse_row(columns, row):
    at = 1
    nulls = 0
    if row[0] & 0x10:
        size = (sum(nullable for _, _, nullable in columns) + 7) // 8
        nulls = int.from_bytes(row[at:at + size], "little")
        at += size
    is_null, fixed = [], []
    for _, column_type, nullable in columns:
        is_null.append(nullable and bool(nulls & 1))
        nulls >>= nullable
        code = TYPES[column_type][1]
        fixed.append(struct.unpack_from("<" + code, row, at)[0] if code else None)
        at += struct.calcsize("<" + code)
    varying = sum(value is None for value in fixed)
    code = "I" if row[0] & 0x20 else "H"
    ends = list(struct.unpack_from(f"<{max(0, varying - 1)}{code}", row, at))
    data = row[at + struct.calcsize("<" + code) * len(ends):]
    begin, values = 0, []
    for (_, column_type, _), null, value in zip(columns, is_null, fixed):
        if value is None:
            end = ends.pop(0) if ends else len(data)
            value, begin = data[begin:end], end
        values.append("NULL" if null else shown(column_type, value))
    return values


def parse_key(columns, parts, key):
    """The values, and what is behind them."""
    values = []
    for place, descending in parts:
        _, column_type, nullable = columns[place]
        part = bytes(byte ^ 0xFF for byte in key) if descending else key
        begin = 1 if nullable else 0
        null = nullable and part[0] == 0
        code = TYPES[column_type][1]
        at = begin + struct.calcsize(">" + code)
        value = b""
        if code == "d":
            bits = int.from_bytes(part[begin:at], "big")
            bits = bits ^ 1 << 63 if bits >> 63 else bits ^ (1 << 64) - 1
            value = struct.unpack(">d", bits.to_bytes(8, "big"))[0]
        elif code == "B":
            value = part[begin]
        elif code:
            value = int.from_bytes(part[begin:at], "big") - (1 << 8 * (at - begin) - 1)
        elif not null:
            while part[at:at + 2] != b"\0\0":
                value += part[at:at + 1]
                at += 2 if part[at] == 0 else 1
            at += 2
        values.append("NULL" if null else shown(column_type, value))
        key = key[at:]
    return values, key


# --- The listing


def quoted(data):
    if len(data) > 60:
        return f"{len(data)} bytes 0x{crc32c(0xFFFFFFFF, data):08x}"
    plain = (chr(b) if 32 <= b <= 126 and b not in b'"\\' else f"\\x{b:02x}" for b in data)
    return '"' + "".join(plain) + '"'


def shown(column_type, value):
    name = TYPES[column_type][0]
    if name in ("text", "bytes"):
        return quoted(value)
    if name == "bool":
        return "true" if value else "false"
    if name == "double":
        return "0x" + struct.pack(">d", value).hex()
    return f"{name} {value}" if name in ("date", "timestamp") else str(value)


def print_table(database, entry):
    for name, column_type, nullable in entry["columns"]:
        print(f"column {quoted(name)} {TYPES[column_type][0]}" + (" nullable" if nullable else ""))
    for (page, slot), row in database.rows(entry["root"], entry["object"]):
        print(f"row {page}.{slot}: " + ", ".join(parse_row(entry["columns"], row)))


def print_index(database, entry, columns):
    for key, value in database.entries(entry["root"], entry["object"]):
        values, tid = parse_key(columns, entry["parts"], key)
        if bool(value) != entry["unique"] or (tid or value) != (value or tid):
            fail("an index entry without its TID, or with two")
        print(", ".join(values) + " -> {}.{}".format(*struct.unpack(">IH", tid or value)))


def main(directory):
    database = Database(directory)
    catalog = [(name, parse_catalog(value)) for name, value in database.entries(3, 1)]
    tables = {entry["object"]: (name, entry["columns"]) for name, entry in catalog if entry["kind"] == 2}
    for name, entry in catalog:
        heading = f", object {entry['object']}"
        if entry["kind"] == 1:
            print(f"map {quoted(name)}" + heading)
            for key, value in database.entries(entry["root"], entry["object"]):
                print(f"{quoted(key)} = {quoted(value)}")
        elif entry["kind"] == 2:
            print(f"table {quoted(name)}" + heading)
            print_table(database, entry)
        else:
            table, columns = tables[entry["table"]]
            parts = (quoted(columns[place][0]) + " descending" * down for place, down in entry["parts"])
            print(f"index {quoted(name)}{heading}, of {quoted(table)}" + ", unique" * entry["unique"] + ": " + ", ".join(parts))
            print_index(database, entry, columns)


main(*sys.argv[1:])
