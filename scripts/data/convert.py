#!/usr/bin/env python3
"""Makes a table's CSV file from its source or, without one, a table of the same shape.

usage: convert.py TABLE OUTPUT [--rows-max N] [--generate] < source

Prints the number of rows. Exits 1 when the source has none.
"""

import argparse
import sys

import generate
import sources

TABLES = {
    # name: (columns, rows of the source, rows of a generated table)
    "ip_ranges": (b"start,end,country", sources.ip_ranges, generate.ip_ranges),
    "files": (b"path,package,section", sources.files, generate.files),
    "ratings": (b"fide_id,period,elo", sources.ratings, generate.ratings),
    "players": (b"fide_id,name,federation,birth_year", sources.players, generate.players),
}


def write_table(path, header, chunks, rows_max):
    """Writes lists of lines until they or the rows wanted come to an end; the number of rows."""
    rows = 0
    with open(path, "wb", buffering=1 << 20) as out:
        out.write(header + b"\n")
        for lines in chunks:
            if rows_max is not None:
                lines = lines[: rows_max - rows]
            out.write(b"".join(lines))
            rows += len(lines)
            if rows == rows_max:
                break
    return rows


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("table", choices=sorted(TABLES))
    parser.add_argument("output")
    parser.add_argument("--rows-max", type=int)
    parser.add_argument("--generate", action="store_true")
    arguments = parser.parse_args()
    header, from_source, generated = TABLES[arguments.table]
    chunks = generated() if arguments.generate else from_source(sys.stdin.buffer)
    rows = write_table(arguments.output, header, chunks, arguments.rows_max)
    print(rows)
    return 0 if rows else 1


if __name__ == "__main__":
    sys.exit(main())
