//! The timeline as a plot: permits, accepts, deliveries and bounces, summed up over time, and the steps between states. Made
//! of numbers and the names of states alone, as SVG, so that a page needs no script and no network to show it.

use issei_ledger::{AuditTrail, BroadcastState, Moment, Progress};
use jiff::Timestamp;
use plotters::prelude::*;

use super::Words;
use super::look::MOMENT;
use crate::commands::status::Status;

/// A plot for a desk and one for a phone, on which the first could not be read; the page shows one of them.
const SIZES: [(&str, (u32, u32)); 2] = [("desk", (900, 320)), ("phone", (360, 340))];
/// More points than pixels show nothing more.
const POINTS_MAX: usize = 600;
/// Stands in the place of the page's own colour of text: the style replaces it, in the light and in the dark.
const INK: RGBColor = RGBColor(1, 1, 1);

/// Marks that stand closer than this many pixels would be written over each other.
const MARK_WIDTH: f64 = 16.0;
/// What a Japanese sign of a mark takes of the height.
const SIGN_HEIGHT: i32 = 14;
/// Of labels, and of marks. In an SVG a letter is 1.24 times smaller than this, in pixels: no less than 12 of them.
const LABEL: u32 = 16;
const MARK: u32 = 15;
/// From here on a clock alone does not tell which day it is.
const DAY_S: f64 = 86_400.0;

/// A count over time, and what it comes to by all that is known of it.
struct Line {
    colour: RGBColor,
    of: fn(&Progress) -> u64,
    total: u64,
    /// Nothing of it is new once the broadcast is complete.
    ends_with_it: bool,
}

/// From the registration to the last that is known.
#[derive(Clone, Copy)]
struct Span {
    begins: f64,
    ends: f64,
    /// When it first ran.
    ran: f64,
    /// When it was complete, if it is.
    complete: Option<f64>,
}

impl Span {
    fn of(moments: &[Moment], trail: &AuditTrail, now: Timestamp) -> Self {
        let second = |at: Timestamp| as_f64(at.as_second());
        let steps = || trail.entries.iter().filter_map(|entry| Some((second(entry.at), entered(&entry.step)?)));
        let told = moments.iter().map(|moment| second(moment.at) + as_f64(MOMENT.as_secs())).fold(0.0, f64::max);
        let registered = trail.entries.first().map(|entry| entry.at).or_else(|| moments.first().map(|moment| moment.at));
        let begins = registered.map_or(0.0, second);
        // Of ten seconds that are not over nothing is known of what is to come.
        let ends = steps().map(|(at, _)| at).fold(told.min(second(now)), f64::max).max(begins + 1.0);
        let ran = steps().find(|(_, state)| *state == BroadcastState::Running).map_or(begins, |(at, _)| at);
        let complete = steps().filter(|(_, state)| *state == BroadcastState::Complete).map(|(at, _)| at).next_back();
        Self { begins, ends, ran, complete }
    }

    /// What was told of ten seconds was before what ended them: no permit is granted before it runs, and none after the end,
    /// of which a service may tell a little later.
    fn place(self, at: f64, ends_with_it: bool) -> f64 {
        let at = match self.complete {
            Some(complete) if ends_with_it && at > complete && at <= complete + 2.0 * as_f64(MOMENT.as_secs()) => complete,
            _ => at,
        };
        at.clamp(self.ran.min(self.ends), self.ends)
    }
}

/// An SVG for each size, by its name; none where there is nothing to show.
pub(super) fn timelines(words: &Words, moments: &[Moment], trail: &AuditTrail, status: &Status) -> Vec<(&'static str, String)> {
    if moments.is_empty() {
        return Vec::new();
    }
    // Colours that stay apart for eyes that don't tell red from green (Okabe and Ito), and from black and white; the style has them
    // once more, for their names.
    let line = |(red, green, blue), of, total, ends_with_it| Line { colour: RGBColor(red, green, blue), of, total, ends_with_it };
    let lines = [
        line((0, 130, 200), |told| told.permitted, status.permitted, true),
        line((214, 140, 0), |told| told.accepted, status.accepted, true),
        line((0, 158, 115), |told| told.delivered, status.delivered, false),
        line((222, 100, 20), |told| told.bounced, status.bounced, false),
    ];
    let span = Span::of(moments, trail, status.at);
    let marks: Vec<(Timestamp, &'static str)> =
        trail.entries.iter().filter_map(|entry| Some((entry.at, words.state(entered(&entry.step)?)))).collect();
    SIZES
        .into_iter()
        .filter_map(|(name, size)| {
            let mut svg = String::new();
            // Nothing but the size of the numbers could fail here, and they are counts of people.
            match draw(&mut svg, size, words, span, moments, &marks, &lines) {
                Ok(()) => Some((name, svg)),
                Err(error) => {
                    tracing::warn!(%error, "the timeline can't be drawn");
                    None
                }
            }
        })
        .collect()
}

/// The state that a step has led to.
fn entered(step: &str) -> Option<BroadcastState> {
    step.split_once(" -> ")?.1.parse().ok()
}

/// The sum after each moment, by the second, up to the total. Where nothing was told, nothing grew.
fn summed(moments: &[Moment], line: &Line, span: Span) -> Vec<(f64, u64)> {
    let stride = moments.len() / POINTS_MAX + 1;
    let place = |second: i64| span.place(as_f64(second), line.ends_with_it);
    let (mut sum, mut points) = (0, Vec::new());
    for (at, moment) in moments.iter().enumerate() {
        let begins = place(moment.at.as_second());
        if at == 0 || points.last().is_some_and(|(last, _)| *last < begins) {
            points.push((begins, sum.min(line.total)));
        }
        sum += (line.of)(&moment.told);
        if at % stride == 0 || at + 1 == moments.len() {
            points.push((place(moment.at.as_second() + MOMENT.as_secs()), sum.min(line.total)));
        }
    }
    // What a service did not live to tell is counted all the same.
    if let Some(last) = points.last_mut() {
        last.1 = line.total;
    }
    points.push((span.ends, line.total));
    points
}

fn draw(
    svg: &mut String,
    size: (u32, u32),
    words: &Words,
    span: Span,
    moments: &[Moment],
    marks: &[(Timestamp, &'static str)],
    lines: &[Line; 4],
) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::with_string(svg, size).into_drawing_area();
    let Span { begins, ends, .. } = span;
    let highest = lines.iter().map(|line| line.total).max().unwrap_or(0).max(1);
    let top = highest + highest / 20 + 1;
    let labels = usize::try_from(size.0 / 110)?;
    let mut chart =
        ChartBuilder::on(&area).margin(12).x_label_area_size(50).y_label_area_size(72).build_cartesian_2d(begins..ends, 0..top)?;
    let ink = |points: u32| ("sans-serif", points).into_font().color(&INK);
    // To the second only where minutes would repeat.
    let form = match ends - begins {
        span if span < 600.0 => "%H:%M:%S",
        span if span < DAY_S => "%H:%M",
        _ => "%m-%d %H:%M",
    };
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(INK.mix(0.15))
        .axis_style(INK)
        // A clock at the left edge stands below the lowest number, and not in it.
        .set_tick_mark_size(LabelAreaPosition::Bottom, 8)
        .x_labels(labels)
        .x_desc(words.clock)
        .x_label_formatter(&|second| clock(*second, form))
        .y_desc(words.recipients)
        .label_style(ink(LABEL))
        .axis_desc_style(ink(LABEL))
        .draw()?;
    // What stands close together is written below one another; the first to the right of its line, where there is room for it.
    let pixel = (ends - begins) / f64::from(size.0.saturating_sub(108));
    let (mut before, mut down) = (f64::NEG_INFINITY, 0);
    for (at, state) in marks {
        let at = as_f64(at.as_second()).clamp(begins, ends);
        if at - before > MARK_WIDTH * pixel {
            down = 0;
        }
        let aside = if at - begins < MARK_WIDTH * pixel { 15 } else { 0 };
        chart.draw_series(DashedLineSeries::new([(at, 0), (at, top)], 4, 4, INK.mix(0.6).stroke_width(1)))?;
        let label = Text::new(*state, (aside, 4 + down), ink(MARK).transform(FontTransform::Rotate90));
        chart.draw_series(std::iter::once(EmptyElement::at((at, top)) + label))?;
        before = at;
        down += state.chars().map(|sign| if sign.is_ascii() { SIGN_HEIGHT / 2 + 1 } else { SIGN_HEIGHT }).sum::<i32>() + SIGN_HEIGHT;
    }
    // Which is which stands beside the plot, where it hides none of them.
    for line in lines {
        chart.draw_series(LineSeries::new(summed(moments, line, span), line.colour.stroke_width(2)))?;
    }
    area.present()?;
    Ok(())
}

fn clock(second: f64, form: &str) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "a second of this century")]
    let second = second as i64;
    Timestamp::from_second(second).map_or_else(|_| String::new(), |at| at.strftime(form).to_string())
}

#[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^53")]
fn as_f64(seconds: i64) -> f64 {
    seconds as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use issei_ledger::AuditEntry;
    use jiff::SignedDuration;

    #[test]
    fn where_nothing_was_told_nothing_grew() {
        let began: Timestamp = "2026-11-26T10:00:00Z".parse().unwrap();
        let moment = |second: i64, accepted| Moment {
            at: began + SignedDuration::from_secs(second),
            told: Progress { accepted, ..Progress::default() },
        };
        let zero = as_f64(began.as_second());
        let moments = [moment(0, 5), moment(10, 5), moment(300, 1)];
        let by_second = |points: Vec<(f64, u64)>| points.into_iter().map(|(at, sum)| (at - zero, sum)).collect::<Vec<_>>();
        let line = |total, ends_with_it| Line { colour: INK, of: |told| told.accepted, total, ends_with_it };
        let span = Span { begins: zero, ran: zero, ends: zero + 310.0, complete: None };
        let points = by_second(summed(&moments, &line(11, true), span));
        assert_eq!(points, [(0.0, 0), (10.0, 5), (20.0, 10), (300.0, 10), (310.0, 11), (310.0, 11)]);
        // It ran within the first ten seconds, and was complete within the last: before the one nothing, and by the other all of it,
        // with what a killed consumer has not told.
        let span = Span { begins: zero + 2.0, ran: zero + 4.0, ends: zero + 320.0, complete: Some(zero + 303.0) };
        let points = by_second(summed(&moments, &line(12, true), span));
        assert_eq!(points, [(4.0, 0), (10.0, 5), (20.0, 10), (300.0, 10), (303.0, 12), (320.0, 12)]);
        // Deliveries come after the end, too.
        let points = by_second(summed(&moments, &line(12, false), span));
        assert_eq!(points.get(4..), Some(&[(310.0, 12), (320.0, 12)][..]));
        assert_eq!(clock(zero, "%H:%M"), "10:00");
    }

    #[test]
    fn a_step_is_marked_by_the_state_that_it_led_to() {
        assert_eq!(entered("running -> paused"), Some(BroadcastState::Paused));
        assert_eq!(entered("a test copy"), None);
    }

    #[test]
    fn the_axis_reaches_from_the_registration_to_the_last_state() {
        let at = |second: i64| "2026-11-26T10:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(second);
        let entry = |second, step: &str| -> AuditEntry {
            serde_json::from_value(serde_json::json!({ "at": at(second), "actor": "ann", "step": step, "reason": "" })).unwrap()
        };
        let entries = vec![entry(4, "none -> enumerating"), entry(6, "enumerating -> running"), entry(90, "stopping -> stopped")];
        let trail = AuditTrail { entries, broken: Vec::new() };
        let moments = [Moment { at: at(0), told: Progress::default() }];
        let Span { begins, ends, ran, complete } = Span::of(&moments, &trail, at(500));
        let zero = as_f64(at(0).as_second());
        for (found, wanted) in [(begins, 4.0), (ran, 6.0), (ends, 90.0)] {
            assert!((found - zero - wanted).abs() < 1e-6, "{found} of {zero}, and not {wanted}");
        }
        assert_eq!(complete, None);
    }
}
