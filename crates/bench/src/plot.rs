//! The ratios as bars: how far each is from its goal.

use svg::{
    Document,
    node::element::{Line, Rectangle, Text},
};

use crate::{
    harness::shown,
    report::{Report, text},
};

const WIDTH: f64 = 1040.0;
const ROW: f64 = 26.0;
/// Where bars begin, where they stand when the goal is just met, and where they are cut.
const BEGIN: f64 = 500.0;
const AT_GOAL: f64 = 650.0;
const END: f64 = 800.0;
const TOP: f64 = 56.0;

const EXPLAINED: &str =
    "the goal is the line; further right is better; ~ where the machine was too busy to trust it";

/// A picture of all numbers that have a goal.
pub(crate) fn svg(report: &Report) -> String {
    let bars: Vec<_> = report
        .outcomes
        .iter()
        .flat_map(|outcome| outcome.checks.iter().map(move |check| (outcome, check)))
        .filter_map(|(outcome, check)| Some((outcome, check, check.goal?)))
        .collect();
    let height = bars.iter().fold(TOP + 12.0, |height, _| height + ROW);
    let mut document = Document::new()
        .set("viewBox", (0, 0, WIDTH, height))
        .set("font-family", "system-ui, sans-serif")
        .set("font-size", 12)
        .add(Rectangle::new().set("width", WIDTH).set("height", height).set("fill", "white"))
        .add(
            label("Tagalong beside its references, in the same run", 12.0, 22.0)
                .set("font-size", 16),
        )
        .add(label(EXPLAINED, 12.0, 42.0).set("fill", "#555"));
    let mut y = TOP;
    for (outcome, check, goal) in bars {
        let length = (AT_GOAL - BEGIN) * goal.reached(check.value);
        let length = if length.is_finite() { length.min(END - BEGIN) } else { END - BEGIN };
        let doubtful = if report.is_noisy(outcome, check) { " ~" } else { "" };
        let colour = if check.met == Some(true) { "#2a7f62" } else { "#c8553d" };
        let what = format!("{}: {}", outcome.workload, check.what);
        let value = shown(check.value, check.unit);
        let numbers = format!("{value}{doubtful}   ({})", text(goal, check.unit));
        let bar = Rectangle::new()
            .set("x", BEGIN)
            .set("y", y + 4.0)
            .set("width", length)
            .set("height", ROW - 8.0)
            .set("fill", colour);
        document = document
            .add(label(&what, BEGIN - 10.0, y + 17.0).set("text-anchor", "end"))
            .add(bar)
            .add(label(&numbers, END + 12.0, y + 17.0));
        y += ROW;
    }
    let goal = Line::new()
        .set("x1", AT_GOAL)
        .set("x2", AT_GOAL)
        .set("y1", TOP)
        .set("y2", y)
        .set("stroke", "black")
        .set("stroke-dasharray", "4 3");
    document.add(goal).to_string()
}

fn label(text: &str, x: f64, y: f64) -> Text {
    Text::new(text).set("x", x).set("y", y)
}
