"""A site of several versions: each whole, and from each page a switch to the others."""

import pytest
import release


@pytest.fixture
def site(tmp_path):
    for version, pages in (("0.9.0", ["index", "book/one"]), ("0.10.0", ["index", "book/one", "book/new"])):
        html = tmp_path / version
        (html / "book").mkdir(parents=True)
        for page in pages:
            (html / f"{page}.html").write_text(
                f"<!doctype html><body><h1>{page} {version}</h1></body>", encoding="utf-8"
            )
        release.release(html, tmp_path / "site", version)
    return tmp_path / "site"


def test_the_switch_leads_to_the_same_page_of_another_version(browser, site):
    context = browser.new_context(offline=True)
    tab = context.new_page()
    heading = tab.locator("h1")
    tab.goto((site / "index.html").as_uri())
    tab.wait_for_url("**/0.10.0/index.html")
    tab.goto((site / "0.10.0" / "book" / "one.html").as_uri())
    switch = tab.get_by_label("version")
    assert switch.locator("option").all_inner_texts() == ["version 0.10.0", "version 0.9.0"]
    switch.select_option(label="version 0.9.0")
    tab.wait_for_url("**/0.9.0/book/one.html")
    assert heading.inner_text() == "book/one 0.9.0"
    tab.goto((site / "0.10.0" / "book" / "new.html").as_uri())
    switch.select_option(label="version 0.9.0")  # which has no such page
    tab.wait_for_url("**/0.9.0/index.html")
    context.close()


def test_a_version_is_written_once_and_only_of_built_pages(site, tmp_path):
    before = {path: path.read_bytes() for path in site.rglob("*") if path.is_file()}
    with pytest.raises(FileExistsError, match="has version 0.9.0"):
        release.release(tmp_path / "0.9.0", site, "0.9.0")
    with pytest.raises(FileNotFoundError, match="make book builds them"):
        release.release(tmp_path / "nothing", site, "1.0")
    assert {path: path.read_bytes() for path in site.rglob("*") if path.is_file()} == before
