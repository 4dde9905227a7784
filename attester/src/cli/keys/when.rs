//! A moment as it is written on a command line.

use proto::time::Seconds;

/// Reads `2026-11-22`, `2026-11-22 18:30:00`, `2026-11-22T18:30:00Z` (UTC all of them) or seconds since 1970.
pub(super) fn parse(text: &str) -> Result<Seconds, String> {
    let told = || "a time is written as 2026-11-22 18:30:00 (UTC), 2026-11-22T18:30:00Z, or in seconds since 1970";
    seconds(text).map(Seconds::new).ok_or_else(|| told().to_owned())
}

fn seconds(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok();
    }
    let (date, time) = match text.split_once(['T', ' ']) {
        Some((date, time)) => (date, time.strip_suffix('Z').unwrap_or(time)),
        None => (text, "00:00:00"),
    };
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hours, minutes, seconds] = numbers(time, ':', [2, 2, 2])?;
    let valid = year >= 1970 && (1..=12).contains(&month) && (1..=days_of(year, month)).contains(&day);
    (valid && hours < 24 && minutes < 60 && seconds < 60)
        .then(|| days_before(year, month, day) * 86_400 + hours * 3600 + minutes * 60 + seconds)
}

/// Three numbers of so many digits.
fn numbers(text: &str, separator: char, digits: [usize; 3]) -> Option<[u64; 3]> {
    let mut parts = text.split(separator);
    let mut next = |digits| {
        let part = parts.next()?;
        let fits = part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
        if fits { part.parse().ok() } else { None }
    };
    let [first, second, third] = digits;
    let found = [next(first)?, next(second)?, next(third)?];
    parts.next().is_none().then_some(found)
}

/// Days from 1970 to a date of the Gregorian calendar.
fn days_before(year: u64, month: u64, day: u64) -> u64 {
    let leap_days = |year: u64| year / 4 - year / 100 + year / 400;
    let years = 365 * (year - 1970) + leap_days(year - 1) - leap_days(1969);
    years + (1..month).map(|month| days_of(year, month)).sum::<u64>() + day - 1
}

const fn days_of(year: u64, month: u64) -> u64 {
    match month {
        2 if (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::cli::show;

    #[test]
    fn what_is_shown_can_be_written() {
        for second in [
            0,
            951_782_399,
            951_868_800,
            1_709_164_800,
            1_800_000_000,
            4_107_542_400,
            253_402_300_799,
        ] {
            let time = Seconds::new(second).start();
            assert_eq!(parse(&show::clock_time(time)).unwrap().as_u64(), second);
        }
    }

    #[test]
    fn times_have_few_spellings() {
        let second = |text| parse(text).map(Seconds::as_u64).ok();
        assert_eq!(second("2000-02-29T23:59:59Z"), Some(951_868_799));
        assert_eq!(second("2000-02-29"), Some(951_782_400));
        assert_eq!(second("12"), Some(12));
        for wrong in [
            "",
            "2001-02-29",
            "1969-12-31",
            "2000-13-01",
            "2000-1-1",
            "2000-01-01 24:00:00",
            "2000-01-01 00:00",
            "2000-01-01T00:00:00+01:00",
            "yesterday",
            "99999999999999999999999",
            "-1",
        ] {
            assert_eq!(second(wrong), None, "{wrong:?}");
        }
    }
}
