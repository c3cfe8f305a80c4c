//! The comparison as a picture: how many users were mailed how often. Of numbers alone, so that the same run draws the same.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::Comparison;
use super::side::Side;

const SIZE: (u32, u32) = (900, 400);
/// Where the first group begins, and where all bars stand.
const LEFT: i32 = 44;
const GROUND: i32 = 330;
const HIGHEST: f64 = 200.0;
const GROUP: i32 = 140;
const BAR: i32 = 52;
/// Colours that stay apart for eyes that don't tell red from green (Okabe and Ito).
const NAIVE: RGBColor = RGBColor(213, 94, 0);
const ISSEI: RGBColor = RGBColor(0, 114, 178);

/// By which a picture is known, in its first lines.
pub(super) const ASKS: &str = "the same faults: how often is each of them mailed?";

type Group = (&'static str, fn(&Side) -> u64);

const GROUPS: [Group; 6] = [
    ("not mailed", |side| side.missed),
    ("once", |side| side.once),
    ("twice", |side| side.twice),
    ("three times", |side| side.three_times),
    ("four times", |side| side.four_times),
    ("five or more", |side| side.five_times_or_more),
];

pub(super) fn svg(comparison: &Comparison) -> Result<String, Box<dyn std::error::Error>> {
    let Comparison { seed, users, naive, issei } = comparison;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let style = |size: u32, centre: bool| {
            let place = if centre { Pos::new(HPos::Center, VPos::Bottom) } else { Pos::new(HPos::Left, VPos::Bottom) };
            TextStyle::from(("sans-serif", size).into_font()).pos(place).color(&RGBColor(34, 34, 34))
        };
        let say = |text: &str, at: (i32, i32), size: u32, centre: bool| area.draw_text(text, &style(size, centre), at);
        say(&format!("{users} users, {ASKS}"), (LEFT, 38), 20, false)?;
        for (at, (colour, name, side)) in
            [(NAIVE, "a job for each user, with retries", naive), (ISSEI, "issei", issei)].into_iter().enumerate()
        {
            let x = LEFT + i32::try_from(at)? * 400;
            area.draw(&Rectangle::new([(x, 54), (x + 14, 68)], colour.filled()))?;
            say(&format!("{name}: {} mails", side.mails), (x + 22, 69), 15, false)?;
        }
        for (number, (name, of)) in (0..).zip(GROUPS) {
            let middle = LEFT + number * GROUP + GROUP / 2 - 8;
            for (colour, count, left) in [(NAIVE, of(naive), middle - BAR - 3), (ISSEI, of(issei), middle + 3)] {
                let top = GROUND - height(count, *users);
                area.draw(&Rectangle::new([(left, top), (left + BAR, GROUND)], colour.filled()))?;
                say(&count.to_string(), (left + BAR / 2, top - 4), 14, true)?;
            }
            say(name, (middle, GROUND + 24), 15, true)?;
        }
        area.draw(&PathElement::new([(LEFT - 8, GROUND), (LEFT + 6 * GROUP - 16, GROUND)], RGBColor(34, 34, 34)))?;
        let unknown = format!(
            "Of those not mailed, no record says so of {} and of {}; the others are listed.",
            naive.missed_unknown, issei.missed_unknown
        );
        say(&unknown, (LEFT, 374), 13, false)?;
        let command =
            format!("issei demo --compare --recipients {users} --seed {seed}, as the simulated providers counted; heights are logarithmic");
        say(&command, (LEFT, 391), 13, false)?;
        area.present()?;
    }
    svg.push('\n');
    Ok(svg)
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "counts of people, and a share of 200 pixels")]
fn height(count: u64, users: u64) -> i32 {
    let of = |count: u64| (count as f64 + 1.0).ln();
    (of(count) / of(users.max(1)) * HIGHEST) as i32
}
