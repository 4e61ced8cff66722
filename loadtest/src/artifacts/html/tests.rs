//! The page: that it is whole, that its plots are drawn, and that a browser draws them.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;
use crate::measurement::{Point, sample};

/// Plots of a run that measured everything.
const FIGURES: [&str; 10] = [
    "percentiles",
    "heat",
    "throughput",
    "outcomes",
    "stored",
    "lag",
    "cores",
    "memory",
    "waiting",
    "in-flight",
];

/// A figure of the page, from its tag to its end.
fn figure<'p>(page: &'p str, id: &str) -> &'p str {
    let (_, from) = page.split_once(&format!(r#"<figure id="figure-{id}">"#)).unwrap();
    from.split_once("</figure>").unwrap().0
}

/// Values of an attribute in the order of the page.
fn attributes<'p>(page: &'p str, name: &str) -> Vec<&'p str> {
    let begin = format!(r#" {name}=""#);
    page.split(&begin).skip(1).map(|from| from.split_once('"').unwrap().0).collect()
}

/// The marks of a figure: how many points each says it has, and its path.
fn marks(figure: &str) -> Vec<(usize, &str)> {
    let paths = figure.split("<path class=\"mark ").skip(1).map(|from| from.split_once('>').unwrap().0);
    paths
        .map(|path| (attributes(path, "data-points")[0].parse().unwrap(), attributes(path, "d")[0]))
        .collect()
}

/// Corners of a path that only uses M, L, H, V, h and Z.
fn corners(path: &str) -> Vec<(f64, f64)> {
    let mut corners = Vec::new();
    let mut at = (0.0, 0.0);
    let mut rest = path;
    while let Some(command) = rest.chars().next() {
        rest = &rest[1..];
        let end = rest.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(rest.len());
        let numbers: Vec<f64> =
            rest[..end].split_whitespace().map(|number| number.parse().unwrap()).collect();
        at = match (command, numbers.as_slice()) {
            ('M' | 'L', [x, y]) => (*x, *y),
            ('H', [x]) => (*x, at.1),
            ('V', [y]) => (at.0, *y),
            ('h', [by]) => (at.0 + by, at.1),
            ('Z', []) => at,
            other => panic!("{other:?}"),
        };
        corners.push(at);
        rest = &rest[end..];
    }
    corners
}

#[test]
fn every_plot_has_its_marks_within_its_frame() {
    let page = page(&sample::stalled()).unwrap();
    for id in FIGURES {
        let figure = figure(&page, id);
        let frame: Vec<f64> =
            attributes(figure, "viewBox")[0].split(' ').map(|number| number.parse().unwrap()).collect();
        let marks = marks(figure);
        assert!(!marks.is_empty(), "{id}");
        for (points, path) in marks {
            assert!(points > 0, "{id}");
            for (x, y) in corners(path) {
                assert!(
                    (frame[0]..=frame[2]).contains(&x) && (frame[1]..=frame[3]).contains(&y),
                    "{id}: {x} {y}"
                );
            }
        }
    }
}

#[test]
fn every_second_is_a_point_and_every_cell_of_the_heat_map_a_rectangle() {
    let measurement = sample::stalled();
    let page = page(&measurement).unwrap();
    let seconds = measurement.series.points.len();
    for (id, lines) in [("stored", 1), ("lag", 2), ("cores", 2), ("waiting", 2)] {
        let marks = marks(figure(&page, id));
        assert_eq!(marks.iter().map(|(points, _)| *points).collect::<Vec<_>>(), vec![seconds; lines], "{id}");
        assert!(marks.iter().all(|(_, path)| path.matches(['M', 'L']).count() == seconds), "{id}");
    }
    let merged = measurement.heat.columns.chunks(2).map(|pair| {
        let rows = 0..measurement.heat.rows_us.len();
        rows.filter(|row| pair.iter().any(|column| column[*row] > 0)).count()
    });
    let heat = figure(&page, "heat");
    let cells: Vec<_> = marks(heat).into_iter().filter(|(_, path)| path.contains('Z')).collect();
    let drawn: usize = cells.iter().map(|(_, path)| path.matches('M').count()).sum();
    assert_eq!(drawn, cells.iter().map(|(points, _)| points).sum::<usize>());
    assert_eq!(drawn, merged.sum::<usize>());
}

#[test]
fn a_gap_in_what_was_measured_is_a_gap_in_its_line() {
    let mut measurement = sample::quiet();
    for (at, point) in measurement.series.points.iter_mut().enumerate() {
        point.stored_p99_us = (at != 4).then_some(50_000);
    }
    let page = page(&measurement).unwrap();
    let marks = marks(figure(&page, "stored"));
    assert_eq!((marks[0].0, marks[0].1.matches('M').count()), (9, 2));
    for (at, point) in measurement.series.points.iter_mut().enumerate() {
        point.daemon_memory_bytes = (at != 4).then_some(1_000_000);
    }
    let page = super::page(&measurement).unwrap();
    let points: Vec<usize> = self::marks(figure(&page, "memory")).iter().map(|(points, _)| *points).collect();
    assert_eq!(points, [4, 5, 9]);
}

#[test]
fn a_long_run_stays_a_small_page() {
    let mut measurement = sample::stalled();
    let point = measurement.series.points[200].clone();
    let column = measurement.heat.columns[200].clone();
    measurement.series.points =
        (1..=20_000_u32).map(|second| Point { at_s: second.into(), ..point.clone() }).collect();
    measurement.heat.columns = vec![column; 20_000];
    let page = page(&measurement).unwrap();
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
    for id in FIGURES {
        let lines =
            marks(figure(&page, id)).into_iter().filter(|(_, path)| !path.contains('Z') || id != "heat");
        assert!(lines.map(|(points, _)| points).all(|points| points <= 1_200), "{id}");
    }
}

#[test]
fn what_was_not_measured_is_said_and_breaks_nothing() {
    let page = page(&sample::empty()).unwrap();
    for id in FIGURES {
        assert!(figure(&page, id).contains("not measured"), "{id}");
    }
    for text in ["INVALID", "nothing was measured", "Not measured: its page was not asked."] {
        assert!(page.contains(text), "{text}");
    }
    assert!(!page.contains("NaN") && !page.contains("inf"), "a figure of nothing is no number");
}

#[test]
fn words_of_others_stay_words() {
    let mut measurement = sample::stalled();
    let evil = "<script>alert('1')</script>\"&\0";
    measurement.stamp.scenario_name = evil.to_owned();
    measurement.stamp.targets = vec![evil.to_owned()];
    measurement.stamp.scenario = evil.to_owned();
    measurement.stamp.stores.insert("events".to_owned(), format!("stub {evil}"));
    measurement.verdict.caveats = vec![evil.to_owned()];
    measurement.verdict.invalid_because = vec![evil.to_owned()];
    measurement.verdict.objectives[0].objective = evil.to_owned();
    measurement.counts.wrong = 1;
    measurement.counts.wrong_examples = vec![evil.to_owned()];
    measurement.counts.sampled.insert(evil.to_owned(), crate::measurement::Sampled::default());
    let stage = measurement.latencies["daemon.acked"].clone();
    measurement.latencies.insert(format!("daemon.{evil}"), stage);
    let page = page(&measurement).unwrap();
    assert!(!page.contains("<script") && !page.contains("alert('1')") && !page.contains('\0'));
    assert!(page.matches("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&quot;&amp;\u{fffd}").count() >= 9);
}

#[test]
fn the_page_needs_nothing_else() {
    let page = page(&sample::stalled()).unwrap();
    for outside in ["http://", "https://", "src=", "href=", "url(", "@import", "<script"] {
        assert!(!page.contains(outside), "{outside}");
    }
    for tag in ["section", "figure", "table", "svg", "div", "p", "span", "tr", "td", "th", "ul", "dl"] {
        let opened = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
    }
}

#[test]
fn a_stub_and_a_missed_objective_are_named_at_the_top() {
    let page = page(&sample::stalled()).unwrap();
    let top = page.split_once("id=\"objectives\"").unwrap().0;
    assert!(top.contains("<b>dynamodb-stub</b> stood in for the store of events"));
    assert!(top.contains("<b>Missed:</b> ack.p99.9&lt;1s (1.17 s)"), "{top}");
}

/// What Chromium makes of the page: each mark's box, written by a script that a copy of the page has at its end.
const TELL: &str = r#"<script>
const boxes = [...document.querySelectorAll("figure .mark")].map(mark => {
  const box = mark.getBBox(), figure = mark.closest("figure").id, style = getComputedStyle(mark);
  const paint = style.stroke !== "none" ? style.stroke : style.fill;
  return [figure, box.width.toFixed(1), box.height.toFixed(1), paint.replace(/ /g, "")].join(" ");
});
document.body.innerHTML = "<pre id=boxes>" + boxes.join("\n") + "</pre>";
</script>"#;

#[test]
fn chromium_draws_every_plot() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("report.html");
    let page = page(&sample::stalled()).unwrap();
    // The policy that keeps scripts out would keep this one out too.
    let page = page.replace("default-src 'none'; style-src 'unsafe-inline'", "");
    std::fs::write(&file, page.replace("</body>", &format!("{TELL}</body>"))).unwrap();
    let Some(dom) = dom(&file, directory.path()) else {
        println!("SKIPPED: there is no chromium to draw the report with");
        return;
    };
    let boxes: Vec<&str> =
        dom.split_once("<pre id=\"boxes\">").unwrap().1.split_once("</pre>").unwrap().0.lines().collect();
    for id in FIGURES {
        let of_figure: Vec<&&str> =
            boxes.iter().filter(|line| line.starts_with(&format!("figure-{id} "))).collect();
        assert!(!of_figure.is_empty(), "{id}: {boxes:?}");
        let mut tallest = 0.0_f64;
        for line in of_figure {
            let words: Vec<&str> = line.split(' ').collect();
            let (width, height): (f64, f64) = (words[1].parse().unwrap(), words[2].parse().unwrap());
            assert!(width > 1.0, "{line}");
            tallest = tallest.max(height);
            assert!(words[3].starts_with("rgb(") && words[3] != "rgb(0,0,0)", "{line}: without its colour");
        }
        assert!(tallest > 1.0, "{id}");
    }
}

/// The document after its script ran; none where there is no Chromium.
fn dom(file: &Path, profile: &Path) -> Option<String> {
    const QUIET: [&str; 9] = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--dump-dom",
    ];
    let names = ["chromium", "chromium-browser", "google-chrome"].map(PathBuf::from);
    let output = names.iter().find_map(|name| {
        let mut command = Command::new(name);
        command.args(QUIET).arg(format!("--user-data-dir={}", profile.display()));
        command.arg(format!("file://{}", file.display())).output().ok()
    })?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}
