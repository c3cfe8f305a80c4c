//! The timeline as a plot: permits, accepts, deliveries and bounces, summed up over time. Made of numbers
//! alone, as SVG, so that a page needs no script and no network to show it.

use issei_ledger::Moment;
use plotters::prelude::*;

use super::Words;

const SIZE: (u32, u32) = (900, 320);
/// More points than pixels show nothing more.
const POINTS_MAX: usize = 600;

type Line = (&'static str, RGBColor, fn(&issei_ledger::Progress) -> u64);

/// An SVG, or an empty text where there is nothing to show.
pub(crate) fn timeline(words: &Words, moments: &[Moment]) -> String {
    let Some(first) = moments.first() else { return String::new() };
    // Colours that stay apart for eyes that don't tell red from green (Okabe and Ito).
    let lines: [Line; 4] = [
        (words.permitted, RGBColor(0, 114, 178), |told| told.permitted),
        (words.accepted, RGBColor(230, 159, 0), |told| told.accepted),
        (words.delivered, RGBColor(0, 158, 115), |told| told.delivered),
        (words.bounced, RGBColor(213, 94, 0), |told| told.bounced),
    ];
    let mut svg = String::new();
    // Nothing but the size of the numbers could fail here, and they are counts of people.
    match draw(&mut svg, words, moments, first.at.as_second(), &lines) {
        Ok(()) => svg,
        Err(error) => {
            tracing::warn!(%error, "the timeline can't be drawn");
            String::new()
        }
    }
}

fn draw(svg: &mut String, words: &Words, moments: &[Moment], began: i64, lines: &[Line; 4]) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let seconds = |moment: &Moment| moment.at.as_second() - began + 10;
    let end = moments.last().map_or(10, seconds);
    let (unit, name) = if end > 7_200 { (60.0, words.minutes) } else { (1.0, words.seconds) };
    let highest = lines.iter().map(|(_, _, of)| moments.iter().map(|moment| of(&moment.told)).sum::<u64>()).max().unwrap_or(0).max(1);
    let mut chart = ChartBuilder::on(&area)
        .margin(12)
        .x_label_area_size(42)
        .y_label_area_size(72)
        .build_cartesian_2d(0.0..as_f64(end) / unit, 0..highest + highest / 20 + 1)?;
    chart.configure_mesh().light_line_style(TRANSPARENT).x_desc(name).y_desc(words.recipients).label_style(("sans-serif", 13)).draw()?;
    let stride = moments.len() / POINTS_MAX + 1;
    for (label, colour, of) in lines {
        let mut sum = 0;
        let mut points = vec![(0.0, 0)];
        for (at, moment) in moments.iter().enumerate() {
            sum += of(&moment.told);
            if at % stride == 0 || at + 1 == moments.len() {
                points.push((as_f64(seconds(moment)) / unit, sum));
            }
        }
        let (style, key) = (colour.stroke_width(2), *colour);
        chart
            .draw_series(LineSeries::new(points, style))?
            .label(*label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], key.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.85))
        .label_font(("sans-serif", 14))
        .draw()?;
    area.present()?;
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "seconds of a broadcast are far below 2^53")]
fn as_f64(seconds: i64) -> f64 {
    seconds as f64
}
