# What a developer types. `.ci/run` is the same from nothing; the pre-commit hooks are `make lint types`.
PYTHON ?= .venv/bin/python
CHROMIUM ?= chromium
export NO_MKDOCS_2_WARNING = 1

.PHONY: check fix lint types docs test schema chart

check: lint types docs test

fix:
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

lint:
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

types:
	$(PYTHON) -m mypy
	$(PYTHON) -m mypy --platform win32 rexnet_hub
	for file in tests/*/conftest.py; do $(PYTHON) -m mypy --no-error-summary $$file || exit 1; done

docs:
	$(PYTHON) -m mkdocs build --strict --site-dir site

test:
	$(PYTHON) -m pytest

schema: # the JSON Schema for editors, from the table of fields
	$(PYTHON) -c "from rexnet_hub.index.schema import SCHEMA_FILE, render_schema; SCHEMA_FILE.write_text(render_schema())"

chart: # the README's, from the index, and of it the picture beside a link to the site
	$(PYTHON) -c "from rexnet_hub.index import load_index, read_lock; from rexnet_hub.pages.site import render_chart; open('docs/chart.svg', 'w').write(render_chart(load_index().models, read_lock()))"
	$(CHROMIUM) --headless --no-sandbox --window-size=560,294 --force-device-scale-factor=2.142858 \
		--screenshot=docs/preview.png file://$(CURDIR)/docs/chart.svg
