//! Draws counts by time as SVG: pure functions of numbers. Colours are the stylesheet's.
//!
//! Sent, deferred and failed mails have a strip each, with a scale of its own: a few failures are to be seen among many mails.
//! Below them are two lines, on a logarithmic scale: the time from commit to acceptance that half of the mails, and 95 in a
//! hundred, did not exceed.

use std::fmt::Write;

use examhall_core::{Timestamp, with_commas};
use examhall_delivery::{Deploy, HistoryStep, MailBucket};

use crate::operations::history::History;

/// Left edge of what is drawn, its width, and the width of the whole, in units of the drawing.
const LEFT: f64 = 64.0;
const WIDTH: f64 = 960.0;
pub(super) const WHOLE: f64 = 1040.0;
/// Largest number of columns.
const COLUMNS: i64 = 480;
/// Bounds of the logarithmic scale in ms.
const SHORTEST: f64 = 50.0;
const LONGEST: f64 = 7_200_000.0;
/// Lines across the logarithmic scale, in ms.
const LEVELS: [(u32, &str); 5] =
    [(100, "0.1 s"), (1_000, "1 s"), (10_000, "10 s"), (60_000, "1 min"), (900_000, "15 min")];

/// Counts as they are drawn.
pub(super) struct Chart {
    pub(super) strips: Vec<Strip>,
    pub(super) lines: Vec<Line>,
    pub(super) levels: Vec<Label>,
    pub(super) ticks: Vec<Tick>,
    pub(super) marks: Vec<Label>,
    /// Where the strips end, where the lines begin and end, and the height of the whole.
    pub(super) strips_end: f64,
    pub(super) lines_top: f64,
    pub(super) lines_end: f64,
    pub(super) height: f64,
}

/// One kind of outcome.
pub(super) struct Strip {
    pub(super) name: &'static str,
    pub(super) class: &'static str,
    /// The highest column, such as `12 a minute`.
    pub(super) peak: String,
    pub(super) top: f64,
    pub(super) base: f64,
    pub(super) path: String,
}

/// One percentile.
pub(super) struct Line {
    pub(super) class: &'static str,
    pub(super) path: String,
}

/// A text at a place: of a level, its height; of a deploy, its distance from the left.
pub(super) struct Label {
    pub(super) at: f64,
    pub(super) text: String,
}

/// A time on the axis.
pub(super) struct Tick {
    pub(super) x: f64,
    pub(super) text: String,
}

/// Columns of equal width.
struct Columns {
    from: i64,
    /// Length of a column in ms, and buckets in it.
    length: i64,
    buckets: i64,
    sums: Vec<MailBucket>,
}

impl Columns {
    fn of(history: &History) -> Self {
        let (from, to) = (history.from.as_millis(), history.to.as_millis());
        let all = (to - from) / history.step.millis();
        let buckets = (all + COLUMNS - 1) / COLUMNS;
        let length = buckets * history.step.millis();
        let mut sums = vec![MailBucket::default(); usize::try_from(all / buckets).unwrap_or(0)];
        for (at, bucket) in &history.buckets {
            let column = usize::try_from((at.as_millis() - from).div_euclid(length)).ok();
            if let Some(sum) = column.and_then(|column| sums.get_mut(column)) {
                sum.add(bucket);
            }
        }
        Self { from, length, buckets, sums }
    }

    fn width(&self) -> f64 {
        WIDTH / f64::from(u32::try_from(self.sums.len()).unwrap_or(1).max(1))
    }

    fn x(&self, column: usize) -> f64 {
        LEFT + self.width() * f64::from(u32::try_from(column).unwrap_or(0))
    }

    fn x_of(&self, at: Timestamp) -> f64 {
        let (past, whole) = (at.as_millis() - self.from, self.length * i64::try_from(self.sums.len()).unwrap_or(1));
        LEFT + WIDTH * share(past.clamp(0, whole), whole)
    }
}

/// A share of a whole, from 0 to 1.
fn share(part: i64, whole: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a drawing needs no precision")]
    let share = part as f64 / whole.max(1) as f64;
    share
}

/// One number of a bucket.
type Count = fn(&MailBucket) -> u64;

/// Draws counts.
pub(super) fn draw(history: &History) -> Chart {
    let columns = Columns::of(history);
    let kinds: [(&str, &str, f64, Count); 3] = [
        ("Sent", "sent", 110.0, |sum| sum.sent),
        ("Deferred", "deferred", 50.0, |sum| sum.deferred),
        ("Failed", "failed", 50.0, |sum| sum.failed),
    ];
    let (mut strips, mut end) = (Vec::new(), 24.0);
    for (name, class, height, count) in kinds {
        let (top, base) = (end + 18.0, end + 18.0 + height);
        let (path, peak) = bars(&columns, (top, base), count);
        strips.push(Strip { name, class, peak: rate(peak, &columns, history.step), top, base, path });
        end = base + 6.0;
    }
    let lines_top = end + 56.0;
    let lines_end = lines_top + 150.0;
    let lines = [("line", 50), ("line second", 95)];
    let lines = lines.map(|(class, percent)| Line { class, path: line(&columns, (lines_top, lines_end), percent) });
    let level =
        |(ms, text): (u32, &str)| Label { at: height_of(f64::from(ms), (lines_top, lines_end)), text: text.to_owned() };
    let mark = |Deploy { version, at }: &Deploy| Label { at: columns.x_of(*at), text: version.clone() };
    Chart {
        strips,
        lines: lines.into(),
        levels: LEVELS.map(level).into(),
        ticks: ticks(history, &columns),
        marks: history.deploys.iter().map(mark).collect(),
        strips_end: end,
        lines_top,
        lines_end,
        height: lines_end + 28.0,
    }
}

/// Columns of one kind as a path, and the highest number. What is not 0 is at least a unit high.
fn bars(columns: &Columns, (top, base): (f64, f64), count: Count) -> (String, u64) {
    let peak = columns.sums.iter().map(count).max().unwrap_or(0);
    let (mut path, width) = (String::new(), columns.width());
    for (column, sum) in columns.sums.iter().enumerate() {
        let number = count(sum);
        if number > 0 {
            let whole = i64::try_from(peak).unwrap_or(i64::MAX);
            let height = ((base - top) * share(i64::try_from(number).unwrap_or(whole), whole)).max(1.5);
            let _ = write!(path, "M{:.1} {base}v{:.1}h{width:.2}v{height:.1}z", columns.x(column), -height);
        }
    }
    (path, peak)
}

/// A percentile as a path, with a gap where nothing was sent.
fn line(columns: &Columns, bounds: (f64, f64), percent: u64) -> String {
    let (mut path, mut is_drawn) = (String::new(), false);
    for (column, sum) in columns.sums.iter().enumerate() {
        let Some(wait) = sum.wait_ms(percent) else {
            is_drawn = false;
            continue;
        };
        let command = if std::mem::replace(&mut is_drawn, true) { 'L' } else { 'M' };
        let y = height_of(share(wait, 1), bounds);
        let _ = write!(path, "{command}{:.1} {y:.1}h{:.2}", columns.x(column), columns.width());
    }
    path
}

fn height_of(ms: f64, (top, base): (f64, f64)) -> f64 {
    let share = (ms.clamp(SHORTEST, LONGEST) / SHORTEST).ln() / (LONGEST / SHORTEST).ln();
    base - (base - top) * share
}

fn rate(peak: u64, columns: &Columns, step: HistoryStep) -> String {
    let unit = match step {
        HistoryStep::Minute => "a minute",
        HistoryStep::Hour => "an hour",
    };
    let buckets = u64::try_from(columns.buckets).unwrap_or(1).max(1);
    match peak {
        0 => "none".to_owned(),
        _ => format!("at most {} {unit}", with_commas(peak.div_ceil(buckets))),
    }
}

/// Full hours, every third of which is shown; or the beginnings of days.
fn ticks(history: &History, columns: &Columns) -> Vec<Tick> {
    const HOUR: i64 = 3_600_000;
    let every = match history.step {
        HistoryStep::Minute => 3 * HOUR,
        HistoryStep::Hour => 24 * HOUR,
    };
    let first = history.from.as_millis().div_euclid(every) + 1;
    let last = (history.to.as_millis() - 1).div_euclid(every);
    let tick = |n: i64| {
        let at = Timestamp::from_millis(n * every);
        let text = at.to_string();
        let text = match history.step {
            HistoryStep::Minute => text[11..16].to_owned(),
            HistoryStep::Hour => text[5..10].to_owned(),
        };
        Tick { x: columns.x_of(at), text }
    };
    (first..=last).map(tick).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_795_392_000_000; // 2026-11-23 00:00

    fn history(step: HistoryStep, buckets: Vec<(i64, MailBucket)>) -> History {
        let at = Timestamp::from_millis;
        let end = START + step.kept();
        let buckets = buckets.into_iter().map(|(n, bucket)| (at(START + n * step.millis()), bucket)).collect();
        let deploys = vec![Deploy { version: "1.2.0".to_owned(), at: at(START + step.kept() / 2) }];
        History { step, from: at(START), to: at(end), buckets, deploys }
    }

    fn bucket(sent: u32, failed: u64) -> MailBucket {
        let mut bucket = MailBucket { failed, ..MailBucket::default() };
        (0..sent).for_each(|_| bucket.count_sent(400));
        bucket
    }

    #[test]
    fn few_failures_are_seen_among_many_mails() {
        let chart = draw(&history(HistoryStep::Minute, vec![(0, bucket(300, 1)), (1439, bucket(30, 0))]));
        let [sent, deferred, failed] = &chart.strips[..] else { panic!("three strips") };
        assert_eq!(sent.path, "M64.0 152v-110.0h2.00v110.0zM1022.0 152v-11.0h2.00v11.0z");
        assert_eq!((failed.path.matches('M').count(), deferred.path.as_str()), (1, ""));
        assert_eq!((sent.peak.as_str(), failed.peak.as_str()), ("at most 100 a minute", "at most 1 a minute"));
        assert_eq!(deferred.peak, "none");
    }

    #[test]
    fn percentiles_have_gaps_where_nothing_was_sent() {
        let some = [(0, bucket(3, 0)), (1, bucket(3, 0)), (9, bucket(0, 3)), (20, bucket(3, 0))];
        let chart = draw(&history(HistoryStep::Hour, some.into()));
        let path = &chart.lines[0].path;
        assert_eq!((path.matches('M').count(), path.matches('L').count()), (2, 1), "{path}");
        assert!(chart.lines.iter().all(|line| !line.path.contains("NaN")));
    }

    #[test]
    fn axis_names_hours_or_days_and_deploys() {
        let day = draw(&history(HistoryStep::Minute, Vec::new()));
        let texts: Vec<_> = day.ticks.iter().map(|tick| tick.text.as_str()).collect();
        assert_eq!(texts, ["03:00", "06:00", "09:00", "12:00", "15:00", "18:00", "21:00"]);
        let mark = &day.marks[0];
        assert!((mark.at - (LEFT + WIDTH / 2.0)).abs() < 1.0 && mark.text == "1.2.0");
        let weeks = draw(&history(HistoryStep::Hour, Vec::new()));
        assert_eq!((weeks.ticks.len(), weeks.ticks[0].text.as_str()), (13, "11-24"));
    }
}
