//! The kinds of values that keys have, and the text of what would be right.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    str::FromStr,
    time::Duration,
};

use toml::de::DeValue;

/// A whole number within `range`.
pub(super) fn integer(range: RangeInclusive<u64>) -> impl Fn(&DeValue<'_>) -> Result<u64, String> {
    move |value| {
        let (least, most) = (range.start(), range.end());
        let right = format!("a whole number from {least} to {most}");
        let number = value.as_integer().ok_or_else(|| wrong(&right, value))?;
        let parsed = u64::from_str_radix(number.as_str(), number.radix()).ok();
        parsed
            .filter(|number| range.contains(number))
            .ok_or_else(|| wrong(&right, value))
    }
}

/// A duration within `range`, written as text.
pub(super) fn duration(range: RangeInclusive<Duration>) -> impl Fn(&DeValue<'_>) -> Result<Duration, String> {
    move |value| {
        let right = format!(
            "a duration from {} to {}, such as \"3s\"",
            Written(*range.start()),
            Written(*range.end())
        );
        let parsed = value.as_str().and_then(parse_duration);
        parsed
            .filter(|duration| range.contains(duration))
            .ok_or_else(|| wrong(&right, value))
    }
}

/// `true` or `false`.
pub(super) fn boolean(value: &DeValue<'_>) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| wrong("true or false", value))
}

/// An `ip:port` to listen at.
pub(super) fn listen(value: &DeValue<'_>) -> Result<SocketAddr, String> {
    let right = "an address and port, such as \"127.0.0.1:7443\" or \"[::1]:7443\"";
    value
        .as_str()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| wrong(right, value))
}

/// An address of this machine or one that others know it by.
pub(super) fn ip(value: &DeValue<'_>) -> Result<IpAddr, String> {
    let parsed: Option<IpAddr> = value.as_str().and_then(|text| text.parse().ok());
    let usable = parsed.filter(|ip| !ip.is_unspecified() && !ip.is_multicast());
    usable.ok_or_else(|| wrong("an IP address, such as \"192.0.2.1\"", value))
}

/// A text that parses as a `T`; its error says what is wrong.
pub(super) fn parsed<T: FromStr<Err: fmt::Display>>(right: &'static str) -> impl Fn(&DeValue<'_>) -> Result<T, String> {
    move |value| {
        let text = value.as_str().ok_or_else(|| wrong(right, value))?;
        text.parse()
            .map_err(|error| format!("{} ({error})", wrong(right, value)))
    }
}

/// A printable text that is not empty.
pub(super) fn text(right: &'static str) -> impl Fn(&DeValue<'_>) -> Result<String, String> {
    move |value| {
        let text = value
            .as_str()
            .filter(|text| !text.trim().is_empty() && !text.contains(char::is_control));
        text.map(str::to_owned).ok_or_else(|| wrong(right, value))
    }
}

/// A list, each element of it read by `element`.
pub(super) fn list<T>(
    right: &'static str,
    element: impl Fn(&DeValue<'_>) -> Result<T, String>,
) -> impl Fn(&DeValue<'_>) -> Result<Vec<T>, String> {
    move |value| {
        let elements = value.as_array().ok_or_else(|| wrong(right, value))?;
        elements.iter().map(|value| element(value.get_ref())).collect()
    }
}

/// What should be there, and what is.
pub(super) fn wrong(right: &str, value: &DeValue<'_>) -> String {
    let found = match value {
        DeValue::String(text) => format!("{:?}", text.chars().take(MOST_ECHOED).collect::<String>()),
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(value) => value.to_string(),
        other => format!("a value of type {}", other.type_str()),
    };
    format!("expected {right}, found {found}")
}

/// Reads `3s`, `0.5 s`, `500ms`, `5m`, `24h`, `30d`. At most 6 digits and 3 decimals.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let split = text.find(|character: char| !character.is_ascii_digit() && character != '.')?;
    let (number, unit) = text.split_at(split);
    let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit.trim_start())?;
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    if !(1..=6).contains(&whole.len()) || !(1..=3).contains(&decimals.len()) {
        return None;
    }
    let thousandths: u64 = format!("{decimals:0<3}").parse().ok()?;
    let number = whole.parse::<u64>().ok()? * 1000 + thousandths;
    Some(Duration::from_micros(number * millis))
}

/// A duration as it is written in a configuration.
struct Written(Duration);

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let fits = |(_, unit): &&(&str, u64)| millis > 0 && millis.is_multiple_of(*unit);
        let (name, unit) = UNITS.iter().rev().find(fits).copied().unwrap_or(("ms", 1));
        write!(f, "{}{name}", millis / unit)
    }
}

/// Names of units, in milliseconds, ascending.
const UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];
const MOST_ECHOED: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        let millis = |text| parse_duration(text).map(|duration| duration.as_millis());
        for (text, expected) in [
            ("3s", 3000),
            ("0.5 s", 500),
            ("500ms", 500),
            ("5m", 300_000),
            ("24h", 86_400_000),
            ("1.25d", 108_000_000),
        ] {
            assert_eq!(millis(text), Some(expected), "{text}");
        }
        for text in [
            "", "3", "s", ".5s", "5.s", "3 x", "-3s", "3s ", "1e3s", "1.2.3s", "9999999s", "0.0001s", "٣s",
        ] {
            assert_eq!(millis(text), None, "{text}");
        }
        for text in ["0ms", "1500ms", "90s", "5m", "25h", "30d"] {
            assert_eq!(
                parse_duration(text)
                    .map(|duration| Written(duration).to_string())
                    .as_deref(),
                Some(text)
            );
        }
    }
}
