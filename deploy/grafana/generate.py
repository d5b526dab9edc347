"""The Grafana dashboard: `python -m deploy.grafana.generate` writes codns.json beside this file.

A dashboard is some thousand lines of JSON of which a hundred are meant. Those are in `rows.py`, a
line or two a panel; here they become what Grafana imports (the classic model, schema 39, taken by
Grafana 10 and later). The file is committed, and a test compares.
"""

import json
from pathlib import Path
from typing import Any, Final

from deploy.grafana.rows import ROWS, Panel

TARGET: Final = Path(__file__).resolve().parent / "codns.json"
SCHEMA: Final = 39
WIDTH: Final = 24  # columns of Grafana's grid
SELECTOR: Final = 'job=~"$job", instance=~"$instance"'

_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_HEIGHTS: Final = {"stat": 4, "table": 8, "timeseries": 8, "heatmap": 8, "state-timeline": 8}

Object = dict[str, Any]


def dashboard() -> Object:
    """Return the whole of it."""
    return {
        "uid": "codns-fleet",
        "title": "codns",
        "description": "A fleet of cooperative DNS forwarders.",
        "tags": ["codns", "dns"],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": []},
        "links": [],
        "templating": {"list": _variables()},
        "panels": _panels(),
    }


def _variables() -> list[Object]:
    def values(name: str, query: str, *, multiple: bool) -> Object:
        variable = {
            "name": name,
            "label": name.capitalize(),
            "type": "query",
            "datasource": _SOURCE,
            "query": {"query": query, "refId": name},
            "refresh": 2,
            "sort": 1,
            "multi": multiple,
            "includeAll": multiple,
            "options": [],
            "hide": 0,
        }
        if multiple:
            variable |= {"allValue": ".*", "current": {"text": "All", "value": "$__all"}}
        return variable

    return [
        {
            "name": "datasource",
            "label": "Data source",
            "type": "datasource",
            "query": "prometheus",
            "options": [],
            "refresh": 1,
            "hide": 0,
        },
        values("job", "label_values(codns_build_info, job)", multiple=False),
        values("instance", 'label_values(codns_build_info{job=~"$job"}, instance)', multiple=True),
    ]


def _panels() -> list[Object]:
    panels: list[Object] = []
    top = 0
    for title, row in ROWS:
        panels.append(
            {
                "id": len(panels) + 1,
                "type": "row",
                "title": title,
                "collapsed": False,
                "gridPos": {"x": 0, "y": top, "w": WIDTH, "h": 1},
                "panels": [],
            }
        )
        top, left, height = top + 1, 0, 0
        for panel in row:
            if left + panel.width > WIDTH:
                top, left, height = top + height, 0, 0
            made = _panel(panel, len(panels) + 1)
            made["gridPos"] = {"x": left, "y": top, "w": panel.width, "h": _HEIGHTS[panel.kind]}
            panels.append(made)
            left, height = left + panel.width, max(height, _HEIGHTS[panel.kind])
        top += height
    return panels


def _panel(panel: Panel, ident: int) -> Object:
    targets = []
    for number, (expression, legend) in enumerate(panel.queries):
        instant = panel.kind == "table"
        targets.append(
            {
                "refId": chr(ord("A") + number),
                "datasource": _SOURCE,
                "expr": expression.replace("SELECTED", SELECTOR),
                "legendFormat": legend or "__auto",
                "instant": instant,
                "range": not instant,
                "format": {"heatmap": "heatmap", "table": "table"}.get(panel.kind, "time_series"),
            }
        )
    return {
        "id": ident,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": _SOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": _field(panel), "overrides": []},
        "options": _options(panel),
    }


def _field(panel: Panel) -> Object:
    field: Object = {"unit": panel.unit, "min": panel.least}
    if panel.kind == "timeseries":
        field["custom"] = {
            "drawStyle": "line",
            "fillOpacity": 30 if panel.stacked else 0,
            "lineWidth": 1,
            "showPoints": "never",
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
        }
    if panel.steps:
        colours = ["green", "yellow", "red"] if panel.worse == "higher" else ["red", "green"]
        steps = [{"color": colours[0], "value": None}]
        steps += [
            {"color": colour, "value": value}
            for colour, value in zip(colours[1:], panel.steps, strict=False)
        ]
        field["thresholds"] = {"mode": "absolute", "steps": steps}
        field["color"] = {"mode": "thresholds"}
    if panel.words:
        words = {
            str(value): {"text": text, "color": colour, "index": index}
            for index, (value, text, colour) in enumerate(panel.words)
        }
        field["mappings"] = [{"type": "value", "options": words}]
    return field


def _options(panel: Panel) -> Object:
    if panel.kind == "stat":
        return {
            "colorMode": "value",
            "graphMode": "area",
            "justifyMode": "auto",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "textMode": "auto",
        }
    if panel.kind == "heatmap":
        return {
            "calculate": False,
            "cellGap": 1,
            "color": {
                "mode": "scheme",
                "scheme": "Oranges",
                "steps": 64,
                "exponent": 0.5,
                "fill": "dark-orange",
                "reverse": False,
            },
            "exemplars": {"color": "rgba(255,0,255,0.7)"},
            "filterValues": {"le": 1e-9},
            "showValue": "never",
            "yAxis": {"unit": "s"},
            "tooltip": {"mode": "single", "yHistogram": True},
            "legend": {"show": True},
        }
    if panel.kind == "state-timeline":
        return {
            "mergeValues": True,
            "showValue": "never",
            "alignValue": "left",
            "rowHeight": 0.9,
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "single"},
        }
    if panel.kind == "table":
        return {"showHeader": True, "sortBy": [{"displayName": "Value", "desc": True}]}
    return {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


def text() -> str:
    """Return the file's content."""
    return json.dumps(dashboard(), indent=2) + "\n"


if __name__ == "__main__":
    TARGET.write_text(text())
