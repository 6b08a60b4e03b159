"""Drawings of what landed."""

from __future__ import annotations

from yokeflow.cli.graph import draw


def drawn(order, edges):
    return [f"{line} {node}".rstrip() for line, node in draw(order, edges)]


def test_a_chain_is_one_column():
    assert drawn(["a", "b", "c"], {"b": ["a"], "c": ["b"]}) == ["● a", "● b", "● c"]


def test_branches_are_drawn_and_join():
    edges = {"parser": ["core"], "store": ["core"], "cli": ["parser", "store"]}
    assert drawn(["core", "parser", "store", "cli"], edges) == [
        "● core",
        "├─╮",
        "│ ● parser",
        "● │ store",
        "├─╯",
        "● cli",
    ]


def test_implied_edges_and_strangers_are_left_out():
    edges = {"b": ["a", "elsewhere"], "c": ["a", "b"]}
    assert drawn(["a", "b", "c"], edges) == ["● a", "● b", "● c"]


def test_independent_ends_are_joined_by_what_needs_both():
    edges = {"c": ["a", "b"]}
    assert drawn(["a", "b", "c"], edges) == ["● a", "│ ● b", "├─╯", "● c"]


def test_every_node_is_drawn_once_in_order():
    order = [f"n{i}" for i in range(30)]
    edges = {f"n{i}": [f"n{i // 2}", f"n{i // 3}", f"n{max(i - 5, 0)}"] for i in range(1, 30)}
    lines = draw(order, edges)
    assert [node for _, node in lines if node] == order
    assert all(line.count("●") == bool(node) for line, node in lines)
