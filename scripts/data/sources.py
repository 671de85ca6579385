"""Rows of the real tables. Each function reads a source and yields lists of CSV lines (bytes, with line end)."""

import re

CHUNK_LINES = 20000


def quote(field):
    """A CSV field, in quotes if it must be."""
    if b'"' in field or b"," in field or b"\n" in field or b"\r" in field:
        return b'"' + field.replace(b'"', b'""') + b'"'
    return field


def chunks_of(lines):
    chunk = []
    for line in lines:
        chunk.append(line)
        if len(chunk) == CHUNK_LINES:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def ip_ranges(source):
    """tor-geoipdb, usr/share/tor/geoip: "start,end,country" and lines that begin with #."""
    return chunks_of(line for line in source if line[:1] != b"#" and line.count(b",") == 2)


def files(source):
    """Contents files of the distribution: a path, blanks, section/package and more of them behind commas."""

    def lines():
        for line in source:
            path, _, packages = line.rstrip(b"\n").rpartition(b" ")
            path = quote(path.rstrip())
            for package in packages.split(b","):
                section, _, name = package.rpartition(b"/")
                yield b"%b,%b,%b\n" % (path, quote(name), quote(section))

    return chunks_of(lines())


def player_lines(source):
    """Lines of the players' section of scid-rating-data, usr/share/scid/data/spelling.ssp.

    Reads on to the end: who writes a pipe that is closed early fails."""
    inside = False
    for line in source:
        if line[:1] == b"@":
            inside = line.startswith(b"@PLAYER")
        elif inside and line[:1] != b"#" and not line.isspace():
            yield line


# "%Bio FIDEID 25765701"; what may stand behind the digits is the word "deprecated".
FIDE_ID = re.compile(rb"\s+%Bio FIDEID (\d+)")
ELO_YEAR = re.compile(rb"(\d{4}):(\S+)")


def ratings(source):
    """"%Elo year:v,v,…" below a "%Bio FIDEID n"; the n-th value of a year is period year * 100 + n; ? is none."""
    chunk = []
    fide_id = b""
    for line in player_lines(source):
        if line[:1] != b" ":
            fide_id = b""
            if len(chunk) >= CHUNK_LINES:
                yield chunk
                chunk = []
        elif fide_id and line.lstrip().startswith(b"%Elo "):
            for year, values in ELO_YEAR.findall(line):
                first = int(year) * 100 + 1
                chunk += [
                    b"%b,%d,%b\n" % (fide_id, period, value)
                    for period, value in enumerate(values.split(b","), first)
                    if value.isdigit()
                ]
        elif bio := FIDE_ID.match(line):
            fide_id = bio[1]
    if chunk:
        yield chunk


# "Name #TITLE FED [peak] birth …": federation and year may be missing or unknown.
PLAYER = re.compile(rb"(?P<name>.*?)\s*#\S*\s*(?P<federation>[A-Za-z/]+)?\s*(?:\[[^]]*\]\s*)*(?P<year>\d{4})?")


def players(source):
    def lines():
        head = b""
        for line in player_lines(source):
            if line[:1] != b" ":
                head = line
            elif bio := FIDE_ID.match(line):
                player = PLAYER.match(head)
                year = player["year"] or b""
                yield b"%b,%b,%b,%b\n" % (
                    bio[1],
                    quote(player["name"].strip()),
                    player["federation"] or b"",
                    b"" if year == b"0000" else year,
                )

    return chunks_of(lines())
