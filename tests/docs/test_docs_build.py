"""The build is strict, says nothing, and gives the same bytes each time."""

import hashlib

from built_site import build


def digests(folder):
    """Hash every file of a folder."""
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def test_two_builds_are_the_same_to_the_byte(site, tmp_path):
    """Built again, every file of the site is what it was, and no file is new or gone."""
    folder, url = site
    build(tmp_path, REXNET_HUB_SITE_URL=url)

    assert len(digests(folder)) > 60
    assert digests(tmp_path) == digests(folder)
