"""The table of hostile values: literals that have broken programs before, by their PostgreSQL type.

All are texts, as a client sends them; PostgreSQL types them.
"""

from __future__ import annotations

CANARY = "public.canary"
"""A table of the owner's: whatever is injected into one of its functions could write there."""

INJECTIONS = [
    f"'; INSERT INTO {CANARY} VALUES ('semicolon'); --",
    f"'); INSERT INTO {CANARY} VALUES ('bracket'); --",
    f"x' || (INSERT INTO {CANARY} VALUES ('or') RETURNING 'x') || '",
    f"$$; INSERT INTO {CANARY} VALUES ('dollar'); $$",
    f"\"; DELETE FROM calib.jobs; INSERT INTO {CANARY} VALUES ('identifier'); --",
    f"calib_x; INSERT INTO {CANARY} VALUES ('notify')",
    f"\\'; INSERT INTO {CANARY} VALUES ('backslash'); --",
    f"/* */ INSERT INTO {CANARY} VALUES ('comment') /*",
    "' OR '1'='1",
    "1; ALTER ROLE calib_submitter SUPERUSER",
    "{0}; DROP SCHEMA calib CASCADE",
    "'; COPY (SELECT 1) TO PROGRAM 'touch /tmp/hostile-was-here'; --",
]
FORMATS = ["%", "%s", "%I", "%L", "%1$s", "%%", "%n%n%n", "{0.__class__}", "${x}", "%(a)s", "\\1", "$1", "?"]
PATHS = ["../../etc/passwd", "..", ".", "/", "a/../b", "C:\\x", "~", "con", "a\\b", "%2e%2e%2f", "....//"]
SCREEN = [
    "\x1b[2J\x1b[31mred",
    "\x1b]0;title\x07",
    "\x1b]8;;http://evil\x1b\\click",
    "\x9b31m",
    "\x07\x08\x0c\x0b",
    "over\rwritten",
    "two\nlines",
    "\x7f",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[red]markup[/red]",
    "[link=file:///etc/passwd]x[/link]",
]
UNICODE = [
    "\u202eright-to-left\u202c",
    "\u2066isolate\u2069",
    "zero\u200bwidth\u200d\ufeff",
    "e" + "\u0301" * 200,
    "\u2028\u2029",
    "ﷺ" * 50,
    "Ａ",
    "ı",
    "ß",
    "💥" * 30,
    "\U0010ffff",
    "\ufffe",
    "𝒜𝒷",
    "\u0130",
    "ᄀ" * 20,
]
BROKEN = ["\x00", "a\x00b", "\ud800", "\udfff\ud800", "\udc80"]
LENGTHS = ["", " ", "a", "x" * 63, "x" * 64, "x" * 65, "x" * 1001, "x" * 100_000, "é" * 40_000]
WORDS = [
    "NULL",
    "null",
    "true",
    "None",
    "undefined",
    "NaN",
    "nan",
    "infinity",
    "-0",
    "0x0",
    "calib_owner",
    "public",
]

TEXTS = [*INJECTIONS, *FORMATS, *PATHS, *SCREEN, *UNICODE, *BROKEN, *LENGTHS, *WORDS]
NUMBERS = [
    *(
        "0",
        "-0",
        "1",
        "-1",
        "2147483647",
        "2147483648",
        "-2147483649",
        "32768",
        "-32769",
        "9223372036854775807",
    ),
    *("9223372036854775808", "-9223372036854775808", "1e309", "1e-400", "-1e400", "NaN", "Infinity", "-inf"),
    *(
        "1.5",
        "0.1",
        "1e3",
        "0x10",
        "1_000",
        " 7 ",
        "",
        "٣",
        "1" * 200,
        "9" * 5000,
        "--1",
        "1;",
        "4.9e-324",
        "1e308",
    ),
]
TIMES = [
    *("infinity", "-infinity", "epoch", "now", "today", "allballs", "9999-12-31 23:59:59+00", "10000-01-01"),
    *("294276-12-31 23:59:59.999999+00", "294277-01-01", "4713-01-01 BC", "4714-01-01 BC", "0001-01-01 BC"),
    *(
        "0000-01-01",
        "2026-02-30",
        "2026-13-01",
        "2026-01-01 25:00",
        "2026-01-01 23:59:60",
        "24:00",
        "1e10",
        "",
    ),
    *("2026-01-01 00:00 Mars/Olympus", "2026-01-01 +99:99", "2026-01-01T00:00:00Z", "J2451187", "0001-01-01"),
    *("20260101", "1/2/3", "2026-03-29 02:30 Europe/Berlin", "2026-01-01 00:00:00.0000001"),
]
ARRAYS = [
    *(
        "{}",
        "{{}}",
        "{a,b}",
        "{{a},{b}}",
        "{{a,b},{c}}",
        "{{{{{{{a}}}}}}}",
        "[2:3]={a,b}",
        "[-5:-5]={a}",
        "{NULL}",
    ),
    *(
        '{"NULL"}',
        "{a,,b}",
        "{a",
        "a}",
        "{a}}",
        "",
        "{" + ",".join("t" * 5000) + "}",
        '{"\\\\"}',
        "{ a }",
        '{""}',
    ),
    *("[1:2147483647]={a}", "[2147483647:2147483647]={a}", '{"' + "x" * 70_000 + '"}', "{1,x}", "{\\xff}"),
]
QUOTE = '"'


def deep(levels: int, opening: str = '{"a":', closing: str = "}") -> str:
    """JSON of that many levels."""
    return opening * levels + "1" + closing * levels


JSONS = [
    *(
        "{}",
        "[]",
        "null",
        "true",
        "0",
        '"text"',
        "",
        "{",
        "}",
        "{]",
        "nul",
        "'a'",
        "NaN",
        "Infinity",
        "-Infinity",
    ),
    *('{"a": NaN}', '{"a": Infinity}', '{"a": 1e400}', '{"a": 1e5000}', '{"a": 1e131000}', '{"a": 1e999999}'),
    *(
        '{"a": -0}',
        '{"a": 01}',
        '{"a": .5}',
        '{"a": 1.}',
        '{"a": 0x10}',
        '{"a": 1, "a": 2}',
        '{"a" 1}',
        "{a: 1}",
    ),
    *(
        '{"": 1}',
        '{"__proto__": {"x": 1}}',
        '{"constructor": {"prototype": 1}}',
        '{"$where": "1"}',
        '{"a.b": 1}',
    ),
    *('{"$set": {"x": 1}}', '{"_id": 1}', '{"a": {"$gt": ""}}', '{"a\\u0000b": 1}', '{"a": "\\ud800"}'),
    *(
        '{"a": "\\udc00\\ud800"}',
        '{"\\u0061": 1, "a": 2}',
        '{"a": "\\u202e"}',
        '{"a": "\\u001b[2J"}',
        "[[[[[]]]]]",
    ),
    *("[" * 10_000 + "]" * 10_000, deep(32), deep(33), deep(6_000), deep(100_000), "[" * 100_000, "\ufeff{}"),
    *('{"a": "' + "x" * 1_100_000 + '"}', '{"' + "k" * 70_000 + '": 1}', '{"a": ' + "9" * 5000 + "}"),
    *("[" + ",".join(["0"] * 5000) + "]", "{" + ",".join(f'"k{n}": {n}' for n in range(3000)) + "}"),
    *('{"a": 1}x', '{"a": 1} {"b": 2}', "/* */ {}", '{"a": \t\n 1}', '{"\ud800": 1}', '{"a": "\x00"}'),
    *(f'{{"a": {QUOTE}{each}{QUOTE}}}' for each in ("%s", "'; DROP TABLE x; --", "<script>", "../..")),
]
BOOLEANS = ["true", "f", "yes", "on", "1", "2", "maybe", "", "TRUE ", "oui"]
UUIDS = [
    *(
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "",
        "x",
        "{",
        "urn:uuid:1",
    ),
    *(
        "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}",
        "a0eebc999c0b4ef8bb6d6bb9bd380a11",
        "a0eebc99-9c0b",
        "g" * 32,
    ),
]
BYTES = ["\\x", "\\x00", "\\xff", "\\xf", "\\xgg", "abc", "\\000", "\\", "\\\\", "\\x" + "00" * 100_000, "é"]

BY_TYPE: dict[str, list[str]] = {
    "text": TEXTS,
    "text[]": ARRAYS,
    "bytea": BYTES,
    "bytea[]": [
        "{}",
        "{NULL}",
        '{"\\\\x00"}',
        "{{}}",
        '{{"\\\\x00"},{"\\\\x01"}}',
        '{"\\\\xg"}',
        "[5:5]={x}",
        "{",
        "",
    ],
    "jsonb": JSONS,
    "json": JSONS,
    "boolean": BOOLEANS,
    "uuid": UUIDS,
    "timestamp with time zone": TIMES,
    "smallint": NUMBERS,
    "integer": NUMBERS,
    "bigint": NUMBERS,
    "double precision": NUMBERS,
    "interval": ["infinity", "1 day", "-178000000 years", "178000001 years", "", "P1Y", "1e300 s", "x"],
    "date": TIMES,
}


def values_of(kind: str) -> list[str]:
    """The hostile values for a type; texts for one that has none of its own."""
    return BY_TYPE.get(kind, TEXTS)
