//! Counts and their shares, as people read them. What it must never do: tell a share that is not nothing as nothing.

/// In percent, and never more than it is. Below ten with decimals, since the limits of bounces and complaints are that small.
pub(super) fn share(count: u64, whole: u64) -> String {
    let hundredths = count.saturating_mul(10_000).checked_div(whole).unwrap_or(0).min(10_000);
    match hundredths {
        0 if count == 0 || whole == 0 => "0 %".to_owned(),
        0 => "< 0.01 %".to_owned(),
        1..1_000 => format!("{}.{:02} %", hundredths / 100, hundredths % 100),
        _ => format!("{} %", hundredths / 100),
    }
}

/// A number with its thousands apart.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn a_share_below_ten_percent_is_told_with_its_decimals() {
        let shares = [(50, 501), (9, 1_000), (5, 10_000), (4_999, 10_000_000), (1, 1_000_000), (999, 1_000), (7, 7), (0, 9), (1, 0)];
        let told = shares.map(|(count, whole)| share(count, whole));
        assert_eq!(told, ["9.98 %", "0.90 %", "0.05 %", "0.04 %", "< 0.01 %", "99 %", "100 %", "0 %", "0 %"]);
    }
}
