//! The tables and the plot of `docs/performance.md` that the model draws: recipients a second by consumers, where that bends,
//! and what to turn.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use issei_scale::{Cpu, Latency, Setup, Table, Told};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// By how many consumers it is told.
const CONSUMERS: [u32; 9] = [1, 2, 5, 10, 20, 50, 100, 300, 1_000];

#[derive(clap::Args)]
pub(crate) struct Scale {
    /// Recipients of the broadcast.
    #[arg(long, default_value = "10m", value_parser = crate::recipients)]
    recipients: u32,
    /// The account's recipients a second.
    #[arg(long, default_value_t = 800_000.0)]
    rate: f64,
    /// Where the plot goes, as SVG.
    #[arg(long)]
    svg: Option<PathBuf>,
}

/// What is varied beside the number of consumers.
struct Line {
    name: &'static str,
    latency_ms: u64,
    in_flight: u32,
    table: Table,
    colour: RGBColor,
}

/// More than any broadcast asks for.
const WARM: Table = Table { writes: 400_000.0 };

/// Colours that stay apart for eyes that don't tell red from green (Okabe and Ito).
const LINES: [Line; 4] = [
    Line { name: "5 ms a call, 20 in flight", latency_ms: 5, in_flight: 20, table: WARM, colour: RGBColor(0, 114, 178) },
    Line { name: "5 ms a call, 100 in flight", latency_ms: 5, in_flight: 100, table: WARM, colour: RGBColor(0, 158, 115) },
    Line { name: "20 ms a call, 20 in flight", latency_ms: 20, in_flight: 20, table: WARM, colour: RGBColor(213, 94, 0) },
    Line {
        name: "5 ms a call, 20 in flight, a new table",
        latency_ms: 5,
        in_flight: 20,
        table: Table::NEW,
        colour: RGBColor(204, 121, 167),
    },
];

fn setup(scale: &Scale, line: &Line, consumers: u32) -> Setup {
    Setup {
        recipients: u64::from(scale.recipients),
        chunk_recipients: 50,
        page_recipients: 2_000,
        shards: issei_ledger::Shards::for_rows(u64::from(scale.recipients)).get(),
        consumers,
        chunks_in_flight: line.in_flight,
        latency: Latency::all(Duration::from_millis(line.latency_ms)),
        cpu: Cpu::MEASURED,
        rate: scale.rate,
        table: line.table,
    }
}

pub(crate) fn tell(scale: &Scale) -> anyhow::Result<()> {
    let told: Vec<(&Line, Vec<(u32, Told)>)> = LINES
        .iter()
        .map(|line| (line, CONSUMERS.iter().map(|consumers| (*consumers, issei_scale::run(&setup(scale, line, *consumers)))).collect()))
        .collect();
    let mut out = std::io::stdout().lock();
    for (line, told) in &told {
        writeln!(out, "\n| {} | recipients/s | 99 % sent in, s | all, s | from the command, s | held up by | used |", line.name)?;
        writeln!(out, "|---|---|---|---|---|---|---|")?;
        for (consumers, told) in told {
            let share = told.uses.iter().find(|one| one.of == told.bound).map_or(0.0, |one| one.share);
            writeln!(
                out,
                "| {consumers} consumers | {:.0} | {:.1} | {:.1} | {:.1} | {} | {:.0} % |",
                told.a_second,
                told.most_s,
                told.sending_s,
                told.sent_s,
                told.bound.what(),
                share * 100.0
            )?;
        }
    }
    if let Some(path) = &scale.svg {
        std::fs::write(path, svg(scale, &told).map_err(|error| anyhow::anyhow!("the plot can't be drawn: {error}"))?)?;
    }
    Ok(())
}

const SIZE: (u32, u32) = (900, 460);
const LEFT: i32 = 90;
const RIGHT: i32 = 870;
const TOP: i32 = 120;
const GROUND: i32 = 400;
/// From a thousand recipients a second to a million.
const DECADES: f64 = 3.0;

fn svg(scale: &Scale, told: &[(&Line, Vec<(u32, Told)>)]) -> Result<String, Box<dyn std::error::Error>> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let ink = RGBColor(34, 34, 34);
        let say = |text: &str, at: (i32, i32), size: u32, place: HPos| {
            let style = TextStyle::from(("sans-serif", size).into_font()).pos(Pos::new(place, VPos::Bottom)).color(&ink);
            area.draw_text(text, &style, at)
        };
        let title =
            format!("{} recipients, {:.0} a second at the provider: recipients a second by consumers", scale.recipients, scale.rate);
        say(&title, (LEFT, 36), 18, HPos::Left)?;
        let x = |consumers: f64| LEFT + pixels(consumers.log10() / 3.0, RIGHT - LEFT);
        let y = |a_second: f64| GROUND - pixels((a_second.log10() - 3.0) / DECADES, GROUND - TOP);
        for (a_second, name) in [(1e3, "1,000"), (1e4, "10,000"), (1e5, "100,000"), (1e6, "1,000,000")] {
            area.draw(&PathElement::new([(LEFT, y(a_second)), (RIGHT, y(a_second))], RGBColor(220, 220, 220)))?;
            say(name, (LEFT - 8, y(a_second) + 6), 13, HPos::Right)?;
        }
        for consumers in CONSUMERS {
            say(&consumers.to_string(), (x(f64::from(consumers)), GROUND + 22), 13, HPos::Center)?;
        }
        say("consumers", (RIGHT, GROUND + 42), 13, HPos::Right)?;
        for (number, (line, told)) in (0..).zip(told) {
            let points: Vec<(i32, i32)> =
                told.iter().map(|(consumers, told)| (x(f64::from(*consumers)), y(told.a_second.max(1e3)))).collect();
            area.draw(&PathElement::new(points.clone(), line.colour.stroke_width(2)))?;
            for point in points {
                area.draw(&Circle::new(point, 3, line.colour.filled()))?;
            }
            let at = (LEFT + number % 2 * 390, 62 + number / 2 * 22);
            area.draw(&Rectangle::new([(at.0, at.1 - 11), (at.0 + 14, at.1 + 3)], line.colour.filled()))?;
            say(line.name, (at.0 + 22, at.1 + 5), 14, HPos::Left)?;
        }
        say("issei-bench scale: a model in virtual time, held against the real services by a test", (LEFT, GROUND + 42), 13, HPos::Left)?;
        area.present()?;
    }
    svg.push('\n');
    Ok(svg)
}

#[expect(clippy::cast_possible_truncation, reason = "a share of some hundred pixels")]
fn pixels(share: f64, of: i32) -> i32 {
    (share * f64::from(of)) as i32
}
