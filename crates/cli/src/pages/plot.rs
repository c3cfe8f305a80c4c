//! The timeline as a plot: permits, accepts, deliveries and bounces, summed up over time, and the steps between states. Made
//! of numbers and the names of states alone, as SVG, so that a page needs no script and no network to show it.

use issei_ledger::{AuditTrail, BroadcastState, Moment, Progress};
use jiff::Timestamp;
use plotters::prelude::*;

use super::Words;
use super::look::MOMENT;

/// A plot for a desk and one for a phone, on which the first could not be read; the page shows one of them.
const SIZES: [(&str, (u32, u32)); 2] = [("desk", (900, 320)), ("phone", (420, 340))];
/// More points than pixels show nothing more.
const POINTS_MAX: usize = 600;
/// Stands in the place of the page's own colour of text: the style replaces it, in the light and in the dark.
const INK: RGBColor = RGBColor(1, 1, 1);

type Line = (&'static str, RGBColor, fn(&Progress) -> u64);

/// An SVG for each size, by its name; none where there is nothing to show.
pub(super) fn timelines(words: &Words, moments: &[Moment], trail: &AuditTrail) -> Vec<(&'static str, String)> {
    if moments.is_empty() {
        return Vec::new();
    }
    // Colours that stay apart for eyes that don't tell red from green (Okabe and Ito), and from black and white.
    let lines: [Line; 4] = [
        (words.permitted, RGBColor(0, 130, 200), |told| told.permitted),
        (words.accepted, RGBColor(214, 140, 0), |told| told.accepted),
        (words.delivered, RGBColor(0, 158, 115), |told| told.delivered),
        (words.bounced, RGBColor(222, 100, 20), |told| told.bounced),
    ];
    let marks: Vec<(Timestamp, &'static str)> =
        trail.entries.iter().filter_map(|entry| Some((entry.at, words.state(entered(&entry.step)?)))).collect();
    SIZES
        .into_iter()
        .filter_map(|(name, size)| {
            let mut svg = String::new();
            // Nothing but the size of the numbers could fail here, and they are counts of people.
            match draw(&mut svg, size, words, moments, &marks, &lines) {
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

/// The sum after each moment, by the second. Where nothing was told, nothing grew.
fn summed(moments: &[Moment], of: fn(&Progress) -> u64) -> Vec<(f64, u64)> {
    let stride = moments.len() / POINTS_MAX + 1;
    let (mut sum, mut points) = (0, Vec::new());
    for (at, moment) in moments.iter().enumerate() {
        let begins = as_f64(moment.at.as_second());
        if at == 0 || points.last().is_some_and(|(last, _)| *last < begins) {
            points.push((begins, sum));
        }
        sum += of(&moment.told);
        if at % stride == 0 || at + 1 == moments.len() {
            points.push((as_f64(moment.at.as_second() + MOMENT.as_secs()), sum));
        }
    }
    points
}

fn draw(
    svg: &mut String,
    size: (u32, u32),
    words: &Words,
    moments: &[Moment],
    marks: &[(Timestamp, &'static str)],
    lines: &[Line; 4],
) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::with_string(svg, size).into_drawing_area();
    let [begins, ends] = [moments.first(), moments.last()].map(|moment| moment.map_or(0, |moment| moment.at.as_second()));
    let (begins, ends) = (as_f64(begins), as_f64(ends + MOMENT.as_secs()));
    let highest = lines.iter().map(|(_, _, of)| moments.iter().map(|moment| of(&moment.told)).sum::<u64>()).max().unwrap_or(0).max(1);
    let top = highest + highest / 20 + 1;
    let labels = usize::try_from(size.0 / 110)?;
    let mut chart =
        ChartBuilder::on(&area).margin(12).x_label_area_size(44).y_label_area_size(72).build_cartesian_2d(begins..ends, 0..top)?;
    let ink = |points: u32| ("sans-serif", points).into_font().color(&INK);
    // To the second only where minutes would repeat.
    let form = if ends - begins < 600.0 { "%H:%M:%S" } else { "%H:%M" };
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(INK.mix(0.15))
        .axis_style(INK)
        .x_labels(labels)
        .x_desc(words.clock)
        .x_label_formatter(&|second| clock(*second, form))
        .y_desc(words.recipients)
        .label_style(ink(14))
        .axis_desc_style(ink(14))
        .draw()?;
    // A state that is over before the next ten seconds begin stands where it began.
    for (at, state) in marks.iter().filter(|(at, _)| (begins..=ends).contains(&as_f64(at.as_second()))) {
        let at = as_f64(at.as_second());
        chart.draw_series(DashedLineSeries::new([(at, 0), (at, top)], 4, 4, INK.mix(0.6).stroke_width(1)))?;
        let label = Text::new(*state, (0, 4), ink(13).transform(FontTransform::Rotate90));
        chart.draw_series(std::iter::once(EmptyElement::at((at, top)) + label))?;
    }
    for (label, colour, of) in lines {
        let (style, key) = (colour.stroke_width(2), *colour);
        chart
            .draw_series(LineSeries::new(summed(moments, *of), style))?
            .label(*label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], key.stroke_width(2)));
    }
    // Sums rise to the upper right, and what a mark says hangs from above.
    chart.configure_series_labels().position(SeriesLabelPosition::MiddleRight).label_font(ink(14)).draw()?;
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
    use jiff::SignedDuration;

    #[test]
    fn where_nothing_was_told_nothing_grew() {
        let began: Timestamp = "2026-11-26T10:00:00Z".parse().unwrap();
        let moment = |second: i64, accepted| Moment {
            at: began + SignedDuration::from_secs(second),
            told: Progress { accepted, ..Progress::default() },
        };
        let zero = as_f64(began.as_second());
        let points = summed(&[moment(0, 5), moment(10, 5), moment(300, 1)], |told| told.accepted);
        let by_second: Vec<(f64, u64)> = points.into_iter().map(|(at, sum)| (at - zero, sum)).collect();
        assert_eq!(by_second, [(0.0, 0), (10.0, 5), (20.0, 10), (300.0, 10), (310.0, 11)]);
        assert_eq!(clock(zero, "%H:%M"), "10:00");
    }

    #[test]
    fn a_step_is_marked_by_the_state_that_it_led_to() {
        assert_eq!(entered("running -> paused"), Some(BroadcastState::Paused));
        assert_eq!(entered("a test copy"), None);
    }
}
