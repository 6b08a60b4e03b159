"""Pipes on a real event loop."""

from __future__ import annotations

import asyncio
import os
import socket

from yokeflow.engine.processes.pipes import Reader, Writer


async def test_writes_more_than_fits_and_then_closes():
    reader, writer = os.pipe()
    for end in (reader, writer):
        os.set_blocking(end, False)
    got: list[bytes] = []
    listening = Reader(reader, got.append)
    feeding = Writer(writer, b"x" * 1_000_000, then=lambda: os.close(writer))
    feeding.add(b"the end")
    await asyncio.wait_for(listening.ended, 10)
    assert b"".join(got) == b"x" * 1_000_000 + b"the end"


async def test_closing_the_reader_of_a_socket_ends_its_writer_first():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    descriptor = ours.detach()
    orders = Writer(descriptor, b"x" * 10_000_000)
    answers = Reader(descriptor, lambda _data: None, first=orders.close)
    theirs.close()
    await asyncio.wait_for(answers.ended, 10)
    assert not asyncio.get_running_loop().remove_writer(descriptor)
    answers.close()


async def test_what_nobody_reads_is_dropped():
    reader, writer = os.pipe()
    os.close(reader)
    closed: list[int] = []
    feeding = Writer(writer, b"x", then=lambda: closed.append(writer))
    feeding.close()
    assert closed == [writer]
    os.close(writer)
