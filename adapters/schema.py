"""The tables of the state file, and how those of an earlier version become them."""

from __future__ import annotations

VERSION = 2
#: Records that the counters call quarantined, and what validation found.
_QUARANTINE = """
create table set_aside (
    place integer primary key autoincrement, stream integer not null, id text not null, unit text not null,
    number integer not null, stage text not null, field text not null, rule text not null, reason text not null,
    record text not null, at text not null, refusal text not null default '', unique (stream, id));
create table finding (
    stream integer not null, rule text not null, severity text not null, entities integer not null,
    primary key (stream, rule, severity)) without rowid;
"""
NEW = (
    """
create table stream (
    id integer primary key, name text not null unique,
    sent integer not null default 0, delivered integer not null default 0, refused integer not null default 0,
    retried integer not null default 0, last_run text, last_error text, last_error_at text);
create table unit (
    stream integer not null, name text not null,
    records integer not null default 0, entities integer not null default 0, updates integer not null default 0,
    quarantined integer not null default 0, duplicates integer not null default 0,
    primary key (stream, name)) without rowid;
create table checkpoint (
    stream integer not null, name text not null, value text not null, primary key (stream, name)) without rowid;
create table seen (
    stream integer not null, key blob not null, content blob not null, primary key (stream, key)) without rowid;
create table spool (
    id integer primary key autoincrement, stream integer not null, bytes integer not null, body blob not null);
create index spool_stream on spool (stream, id);
"""
    + _QUARANTINE
)
#: The statements that bring a file of each earlier version to the next one.
UPGRADES = {
    1: f"""
alter table unit rename column rejected to quarantined;
{_QUARANTINE}
insert into set_aside (stream, id, unit, number, stage, field, rule, reason, record, at, refusal)
    select stream, lower(hex(randomblob(16))), unit, number, stage, field, rule, reason, record, at,
    'it was set aside before there was a quarantine' from reject order by id;
drop table reject
""",  # noqa: S608 - constants
}
