"""Tables of the shape of the real ones, for machines without their sources. The same rows on every machine."""

import random

from sources import chunks_of, quote

IP_RANGES = 385_602
FILES = 7_362_379
RATINGS = 23_727_875
PLAYERS = 369_445

SEED = 20210404
FEDERATIONS = b"RUS GER ESP FRA IND ITA POL TUR HUN USA CZE NED SRB UKR GRE BRA IRI ARG CHN NOR".split()
SYLLABLES = b"an ber chi do el fa gra hu is ja ki lo mar ne or pe qui ra so ti us vi wa xe yo zu".split()


def word(rng, syllables):
    return b"".join(rng.choices(SYLLABLES, k=syllables))


def ip_ranges():
    """Ranges that ascend, mostly without gaps, in steps of powers of two."""
    rng = random.Random(SEED)

    def lines():
        start = 1 << 24
        for _ in range(IP_RANGES):
            size = 1 << min(int(rng.expovariate(0.25)) + 8, 14)
            country = rng.choice(FEDERATIONS)[:2]
            yield b"%d,%d,%b\n" % (start, start + size - 1, country)
            start += size if rng.random() < 0.9 else 2 * size

    return chunks_of(lines())


def files():
    """Sorted paths, about 63 bytes long and 52 of them shared with the neighbour; some stand in two packages."""
    rng = random.Random(SEED)

    def lines():
        rows = 0
        folder = 0
        while True:
            package = b"lib" + word(rng, 2) + b"%d" % (folder % 97)
            section = word(rng, 2)
            where = b"usr/share/doc/%06d/%b/html/%b/%b" % (folder, package, word(rng, 4), word(rng, 3))
            folder += 1
            for number in range(rng.randrange(1, 60)):
                comma = b"," if rng.random() < 0.0001 else b""
                path = quote(b"%b/%04d%b%b.html" % (where, number, comma, word(rng, 1)))
                for copy in range(2 if rng.random() < 0.006 else 1):
                    yield b"%b,%b%b,%b\n" % (path, package, b"-dev" if copy else b"", section)
                    rows += 1
                    if rows == FILES:
                        return

    return chunks_of(lines())


def fide_ids():
    """Sparse numbers, in no order."""
    rng = random.Random(SEED)
    ids = rng.sample(range(100_000, 36_000_000), PLAYERS)
    return ids, rng


def ratings():
    """About 64 periods per player, in the order of the players."""
    ids, rng = fide_ids()
    rows = 0
    for player, fide_id in enumerate(ids):
        count = (RATINGS - rows) // (PLAYERS - player)
        if player + 1 < PLAYERS:
            count = min(rng.randrange(1, 2 * count), RATINGS - rows)
        elo = rng.randrange(1000, 2400)
        lines = []
        for number in range(count):
            year, period = divmod(number, 12)
            elo = max(1000, elo + rng.randrange(-20, 21)) if period % 3 == 0 else elo
            lines.append(b"%d,%d,%d\n" % (fide_id, (2021 - count // 12 + year) * 100 + period + 1, elo))
        rows += count
        yield lines


def players():
    ids, rng = fide_ids()

    def lines():
        for fide_id in ids:
            name = word(rng, 3).capitalize() + b", " + word(rng, 2).capitalize()
            year = b"%d" % rng.randrange(1930, 2015) if rng.random() < 0.8 else b""
            yield b"%d,%b,%b,%b\n" % (fide_id, quote(name), rng.choice(FEDERATIONS), year)

    return chunks_of(lines())
