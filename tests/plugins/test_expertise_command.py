"""`yoke expertise`, typed as a person would."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from yoke_expertise.memories import Draft, save
from yokeflow.__main__ import main
from yokeflow.store.connection import Store


class Typed:
    """A repository, and what its owner types there."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root = root
        self.capsys = capsys

    def git(self, *args: str) -> None:
        subprocess.run(["git", *args], cwd=self.root, check=True, capture_output=True)

    def __call__(self, *args: str, code: int = 0) -> str:
        """What a command prints; with a code other than 0, what it says on stderr."""
        self.capsys.readouterr()
        assert main(["expertise", *args]) == code
        found = self.capsys.readouterr()
        self.said = found.err
        return found.err if code else found.out

    def json(self, *args: str) -> Any:
        return json.loads(self(*args, "--json"))


@pytest.fixture
def typed(
    tmp_path: Path,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Typed:
    monkeypatch.setenv("YOKE_DATABASE_URL", database_url)
    monkeypatch.chdir(tmp_path)
    made = Typed(tmp_path, capsys)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text("a = 1\n")
    (tmp_path / "README").write_text("hello\n")
    made.git("init", "-q")
    made.git("add", ".")
    made.git("commit", "-qm", "first")
    return made


def test_a_lesson_is_taught_shown_changed_and_seen_as_it_was(typed: Typed) -> None:
    assert typed("list") == "No lessons yet: sessions leave them behind.\n"
    made = typed.json("add", "Index every foreign key.", "--domain", "database", "--tag", "sql", "--pin")
    short = made["id"][:8]
    path = typed.root / ".expertise" / "database.yaml"
    assert f"wrote {path}" in typed.said
    assert "lesson: Index every foreign key." in path.read_text()
    (row,) = typed.json("list", "--domain", "database", "--tag", "sql", "--kind", "note")
    assert (row["content"], row["source"], row["pinned"]) == (made["content"], "explicit", True)
    assert typed.json("list", "--status", "archived") == []
    then = typed.json("show", short)["log"][-1]["at"]
    assert typed("edit", short, "--content", "Index all of them.", "--importance", "9").endswith(
        "version 2\n"
    )
    assert typed.json("list")[0]["content"] == "Index all of them."
    assert typed.json("list", "--at", then)[0]["content"] == "Index every foreign key."
    assert typed.json("show", short, "--at", then)["importance"] == 5
    shown = typed.json("show", short)
    assert [(entry["action"], entry["changed_by"]) for entry in shown["log"]] == [
        ("created", "user:Ada"),
        ("updated", "user:Ada"),
        ("updated", "user:Ada"),
    ]
    assert shown["log"][-1]["old"]["importance"] == 5
    said = typed("show", short)
    assert "Index all of them." in said
    assert "importance 9, 100% sure, pinned" in said
    assert "Index all of them." in path.read_text()
    assert typed("list", "--at", "2d") == "No lessons yet: sessions leave them behind.\n"
    assert "DOMAIN" in typed("list")


def test_a_domain_is_shown_with_its_versions_and_taken_back(typed: Typed) -> None:
    short = typed.json("add", "First.", "--domain", "api")["id"][:8]
    typed("edit", short, "--content", "Second.")
    path = typed.root / ".expertise" / "api.yaml"
    assert "lesson: Second." in path.read_text()
    assert typed("rollback", "api", "--to", "1") == "api: version 3 is version 1 again\n"
    assert "lesson: First." in path.read_text()
    found = typed.json("show", "api")
    kinds = [(each["version"], each["change_type"]) for each in found["versions"]]
    assert kinds == [(1, "edited"), (2, "edited"), (3, "rolled_back")]
    assert "back to version 1 of api" in typed("show", "api")
    assert typed.json("rollback", "api", "--to", "3") == {"domain": "api", "to": 3, "version": None}
    assert "its versions are 1 to 3" in typed("rollback", "api", "--to", "7", code=2)


def test_a_domain_without_lessons_is_said_to_have_none(typed: Typed) -> None:
    said = "The domain database has no lessons yet: sessions leave them behind.\n"
    assert typed("show", "database") == said
    assert typed.json("show", "database") == {"domain": "database", "content": None, "versions": []}


async def _learn(url: str, draft: Draft) -> str:
    """Save a lesson as a run does, without a file; its id."""
    async with await Store.open(url) as store, store.begin() as conn:
        (project,) = await conn.scalars(text("SELECT id FROM projects"))
        return str((await save(conn, project, draft, actor="extraction")).id)


def test_what_a_run_taught_is_shown_before_there_is_a_file(typed: Typed, database_url: str) -> None:
    typed("list")
    lesson = asyncio.run(_learn(database_url, Draft("api", "note", "Learned.")))
    shown = typed.json("show", "api")
    assert shown["versions"] == []
    assert [each["id"] for each in shown["content"]["best_practices"]] == [lesson]
    assert "lesson: Learned." in typed("show", "api")
    assert "`yoke expertise validate` writes it" in typed.said
    assert not (typed.root / ".expertise").exists(), "nothing is written by looking"
    typed("validate")
    assert "Learned." in (typed.root / ".expertise" / "api.yaml").read_text()


def test_a_lesson_is_about_files_of_the_repository(typed: Typed) -> None:
    made = typed.json("add", "About it.", "--file", "./src/a.py", "--file", "src/..b/", "--file", ".env")
    assert made["files"] == ["src/a.py", "src/..b/", ".env"]


def test_who_teaches_while_learning_is_off_is_told_so(typed: Typed) -> None:
    typed("add", "First.")
    assert "learning" not in typed.said
    (typed.root / ".yokeflow.yaml").write_text("learning: {enabled: false}\n")
    typed("add", "Second.")
    assert "no session is told this lesson" in typed.said


def test_lessons_about_files_that_are_gone_are_found(typed: Typed) -> None:
    typed("add", "About a.", "--file", "src/a.py", "--file", "src/b.py")
    typed.git("switch", "-qc", "epic/b")
    (typed.root / "src" / "b.py").write_text("b = 1\n")
    typed.git("add", "src")
    typed.git("commit", "-qm", "second")
    typed.git("switch", "-q", "main")
    assert typed("validate") == "Every file that a lesson is about is there.\n", "an epic's files count"
    typed.git("branch", "-qD", "epic/b")
    (touched,) = typed.json("validate")
    assert (touched["reason"], touched["lesson"]) == ("gone: src/b.py", "About a.")
    assert typed.json("list")[0]["files"] == ["src/a.py"]
    assert "last_validated" in (typed.root / ".expertise" / "general.yaml").read_text()
    assert typed("prune", "--dry-run") == "Nothing is worn out.\n"
    assert typed.json("prune") == []


def test_a_file_that_was_edited_is_left_alone_and_can_be_taken_in(typed: Typed) -> None:
    short = typed.json("add", "First.")["id"][:8]
    path = typed.root / ".expertise" / "general.yaml"
    path.write_text(path.read_text().replace("First.", "By hand."))
    typed("edit", short, "--importance", "8")
    assert f"{path} was edited by hand and is left alone" in typed.said
    assert "yoke expertise import" in typed.said
    assert "By hand." in path.read_text()
    assert typed.json("import", str(path))["changed"] == 1
    assert "importance: 8" in path.read_text()
    assert typed.json("list")[0]["content"] == "By hand."
    path.write_text(path.read_text().replace("By hand.", "Mine."))
    typed("edit", short, "--content", "Theirs.")
    refused = typed("import", str(path), code=1)
    assert "yours:  content = 'Mine.'" in refused
    assert "theirs: content = 'Theirs.'" in refused
    assert typed("import", str(path), "--force") == f"{path}: 1 changed\n"
    assert typed.json("list")[0]["content"] == "Mine."
    path.write_text("domain: general\nbest_practices:\n- lessn: x\n")
    assert "lessn" in typed("import", str(path), code=2)


@pytest.mark.parametrize("odd", ["folder", "link out", "file", "pipe"])
def test_a_lesson_is_stored_although_its_file_cannot_be_written(
    typed: Typed, tmp_path_factory: pytest.TempPathFactory, odd: str
) -> None:
    folder = typed.root / ".expertise"
    if odd == "link out":
        folder.symlink_to(tmp_path_factory.mktemp("outside"))
    elif odd == "file":
        folder.write_text("mine\n")
    else:
        folder.mkdir()
        path = folder / "testing.yaml"
        path.mkdir() if odd == "folder" else os.mkfifo(path)
    made = typed.json("add", "Run the tests with -x first.", "--domain", "testing")
    assert "warning:" in typed.said
    assert str(folder.name) in typed.said
    assert "written" in typed.said
    assert [each["id"] for each in typed.json("list")] == [made["id"]]
    if odd in {"folder", "pipe"}:
        typed("add", "Of another domain.", "--domain", "api")
        assert f"wrote {folder / 'api.yaml'}" in typed.said


def test_no_pipe_is_imported(typed: Typed) -> None:
    os.mkfifo(typed.root / "pipe.yaml")
    assert "no regular file" in typed("import", "pipe.yaml", code=2)


def test_a_domain_that_lessons_have_is_known_although_it_is_not_set_any_more(typed: Typed) -> None:
    config = typed.root / ".yokeflow.yaml"
    config.write_text("learning: {domains: [ours, general]}\n")
    typed("add", "Of our domain.", "--domain", "ours")
    config.unlink()
    assert len(typed.json("list", "--domain", "ours")) == 1
    for name in ("validate", "prune"):
        assert typed.json(name, "--domain", "ours") == []
    typed("add", "x", "--domain", "ours", code=2)


@pytest.mark.parametrize("domain", ["nosuch", "../../evil"])
def test_nothing_is_imported_into_a_domain_that_is_not_set(typed: Typed, domain: str) -> None:
    typed("add", "First.")
    typed("export", "all.json")
    document = json.loads((typed.root / "all.json").read_text())
    document["memories"].append(document["memories"][0] | {"key": "other", "domain": domain})
    (typed.root / "all.json").write_text(json.dumps(document))
    assert f"there is no domain {domain!r}" in typed("import", "all.json", code=2)
    (typed.root / "x.yaml").write_text(f"domain: {domain}\nbest_practices:\n- lesson: x\n")
    assert "choose one of database" in typed("import", "x.yaml", code=2)
    assert [each["domain"] for each in typed.json("list", "--status", "all")] == ["general"]


def test_all_lessons_go_out_and_come_in(typed: Typed) -> None:
    typed("add", "First.")
    assert typed("export", "all.json") == "all.json: 1 lesson\n"
    assert "is there already" in typed("export", "all.json", code=2)
    assert json.loads(typed("export", "-")) == json.loads(Path("all.json").read_text())
    assert typed("import", "all.json") == "all.json: 1 unchanged\n"


def test_a_lesson_is_edited_in_an_editor(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    short = typed.json("add", "First.", "--category", "code")["id"][:8]
    editor = typed.root / "editor.sh"
    editor.write_text('#!/bin/sh\nsed -i.bak "s/First/Edited/; s/- code/- docs/" "$1"\n')
    editor.chmod(0o755)
    monkeypatch.setenv("VISUAL", str(editor))
    assert typed.json("edit", short)["version"] == 2
    (found,) = typed.json("list")
    assert (found["content"], found["categories"], found["confidence"]) == ("Edited.", ["docs"], 1.0)
    monkeypatch.setenv("VISUAL", "true")
    assert "nothing was changed" in typed("edit", short, code=2)
    editor.write_text('#!/bin/sh\necho "importance: 99" >> "$1"\n')
    monkeypatch.setenv("VISUAL", str(editor))
    assert "importance" in typed("edit", short, code=2)


@pytest.mark.parametrize(
    ("typed_words", "said"),
    [
        (("add", "x", "--domain", "nope"), "choose one of database"),
        (("add", "x" * 2001), "2,000"),
        (("add", "  "), "2,000"),
        (("show", "nothing"), "no id of a lesson"),
        (("show", "abcd1234"), "there is no lesson abcd1234"),
        (("list", "--at", "yesterday"), "2d for two days ago"),
        (("edit", "abcd1234", "--importance", "3"), "there is no lesson"),
        (("edit", "abcd1234", "--domain", "nope"), "choose one of database"),
        (("edit", "abcd1234", "--content", ""), "2,000"),
        (("import", "nowhere.yaml"), "nowhere.yaml"),
        (("list", "--kind", "poem"), "failure_fix"),
        (("add", "x", "--file", "../../etc/passwd"), "no path from the root of the repository"),
        (("add", "x", "--file", "src/../../x"), "no path from the root of the repository"),
        (("add", "x", "--file", "/etc/passwd"), "no path from the root of the repository"),
        (("add", "x", "--file", ""), "no path from the root of the repository"),
        (("add", "x", "--file", "."), "no path from the root of the repository"),
        (("edit", "abcd1234", "--file", ".."), "no path from the root of the repository"),
        (("list", "--domain", "nosuch"), "choose one of database"),
        (("prune", "--domain", "nosuch"), "choose one of database"),
        (("prune", "--dry-run", "--domain", "nosuch"), "choose one of database"),
        (("validate", "--domain", "nosuch"), "choose one of database"),
        (("export", "nowhere/x.json"), "nowhere/x.json cannot be written: No such file"),
        (("export", "README/x.json"), "README/x.json cannot be written: Not a directory"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_remedy(
    typed: Typed, typed_words: tuple[str, ...], said: str
) -> None:
    assert said in typed(*typed_words, code=2)


def test_secrets_in_what_is_taught_edited_and_taken_in_are_not_kept(typed: Typed) -> None:
    made = typed.json("add", "Log in with password: SuperS3cretPw99.", "--subject", "token=abc123def456")
    assert (made["content"], made["subject"]) == ("Log in with password: [redacted].", "token=[redacted]")
    edited = typed.json("edit", made["id"][:8], "--content", "Set DB_PASSWORD=SuperS3cretPw99 first.")
    assert edited["content"] == "Set DB_PASSWORD=[redacted] first."
    path = typed.root / "mine.yaml"
    path.write_text('domain: general\nbest_practices:\n- lesson: "curl -u alice:SuperS3cretPw99 x.org"\n')
    assert typed.json("import", str(path))["added"] == 1
    exported = typed.root / "all.json"
    typed("export", str(exported))
    assert "curl -u alice:[redacted] x.org" in exported.read_text()
    lessons = json.loads(exported.read_text())
    lessons["memories"][0] |= {"content": "The api_key: SuperS3cretPw99", "version": 99}
    exported.write_text(json.dumps(lessons))
    assert typed.json("import", "all.json", "--force")["changed"] == 1
    said = json.dumps(typed.json("list"))
    assert "The api_key: [redacted]" in said
    assert "SuperS3cretPw99" not in said + (typed.root / ".expertise" / "general.yaml").read_text()
