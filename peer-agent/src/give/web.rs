//! What a peer with a token shows to those who do not have it: a small ordinary web server.
//!
//! Whoever looks for peers connects to every machine and asks. A proxy that refuses as proxies do, or with a bare status that no
//! web server sends, is found by one request. So once a token is configured, all that is no tunnel is answered as by a web server
//! that has a single page, with the head fields of one, in their usual order:
//!
//! | asked for | answer |
//! | --- | --- |
//! | `CONNECT` without the right token, or not to `host:port` | 400, and the connection closes |
//! | what is not HTTP/1, or against its rules | 400, and the connection closes |
//! | a head that does not end in time | 408, and the connection closes |
//! | `/` by `GET` or `POST` | 200 and the page |
//! | anything else by `GET` or `POST` | 404 |
//! | anything by `HEAD` | 200, as the health checks of CDNs need it |
//! | anything by another method | 405 |
//!
//! This withstands a look and not a study. enproxy knows no token: who speaks it is served. `HEAD` finds pages that `GET` does not.
//! And all peers show the same page.
//!
//! Every answer is made of constants and the time of day, at most 512 bytes, and repeats nothing of the question.

use proto::{time::Timestamp, tunnel::enproxy::Visit};

/// One of its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    Home,
    BadRequest,
    NotFound,
    NotAllowed,
    TimedOut,
}

impl Page {
    /// The answer to a request that is no tunnel.
    pub(super) fn to(visit: Visit) -> Self {
        match visit {
            Visit::Home => Page::Home,
            Visit::Elsewhere => Page::NotFound,
            Visit::Method => Page::NotAllowed,
        }
    }

    /// Appends head and page.
    pub(super) fn encode(self, now: Timestamp, keep_alive: bool, out: &mut Vec<u8>) {
        self.encode_head(now, keep_alive, out);
        out.extend_from_slice(self.html().as_bytes());
    }

    /// Appends the head alone: the answer to `HEAD`.
    pub(super) fn encode_head(self, now: Timestamp, keep_alive: bool, out: &mut Vec<u8>) {
        let head = format!(
            "HTTP/1.1 {status}\r\nDate: {date}\r\nServer: {SERVER}\r\n{allow}Content-Length: {length}\r\n{close}Content-Type: {kind}\r\n\r\n",
            status = self.status(),
            date = http_date(now),
            allow = if self == Page::NotAllowed { ALLOW } else { "" },
            length = self.html().len(),
            close = if keep_alive { "" } else { "Connection: close\r\n" },
            kind = if self == Page::Home {
                "text/html"
            } else {
                "text/html; charset=iso-8859-1"
            },
        );
        out.extend_from_slice(head.as_bytes());
    }

    fn status(self) -> &'static str {
        match self {
            Page::Home => "200 OK",
            Page::BadRequest => "400 Bad Request",
            Page::NotFound => "404 Not Found",
            Page::NotAllowed => "405 Method Not Allowed",
            Page::TimedOut => "408 Request Timeout",
        }
    }

    fn html(self) -> String {
        let (title, text) = match self {
            Page::Home => (
                "Welcome",
                "There is nothing on this site yet. Please look in again later.",
            ),
            Page::BadRequest => (
                self.status(),
                "What was sent is not a request that can be answered here.",
            ),
            Page::NotFound => (
                self.status(),
                "There is no page of this name. The address may be misspelled.",
            ),
            Page::NotAllowed => (self.status(), "Pages of this site can only be read."),
            Page::TimedOut => (self.status(), "The request did not arrive in time."),
        };
        format!(
            "<!DOCTYPE html>\n<html>\n<head><title>{title}</title></head>\n<body>\n<h1>{title}</h1>\n<p>{text}</p>\n</body>\n</html>\n"
        )
    }
}

/// A time as HTTP writes it (RFC 9110 section 5.6.7).
fn http_date(time: Timestamp) -> String {
    let seconds = time.as_micros() / 1_000_000;
    let (mut days, second) = (seconds / DAY, seconds % DAY);
    // The first day of 1970 was a Thursday.
    let weekday = WEEKDAYS[(days % 7) as usize];
    // The calendar repeats itself after 400 years.
    let mut year = 1970 + 400 * (days / DAYS_OF_400_YEARS);
    days %= DAYS_OF_400_YEARS;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let mut month = 0;
    while days >= length(month, year) {
        days -= length(month, year);
        month += 1;
    }
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!(
        "{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT",
        day = days + 1,
        month = MONTHS[month].0,
    )
}

fn length(month: usize, year: u64) -> u64 {
    MONTHS[month].1 + u64::from(month == 1 && is_leap(year))
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

/// What very many web servers say and nothing more.
const SERVER: &str = "Apache";
const ALLOW: &str = "Allow: GET,POST,HEAD\r\n";
const DAY: u64 = 24 * 3600;
const DAYS_OF_400_YEARS: u64 = 400 * 365 + 97;
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
/// With their days in a common year.
const MONTHS: [(&str, u64); 12] = [
    ("Jan", 31),
    ("Feb", 28),
    ("Mar", 31),
    ("Apr", 30),
    ("May", 31),
    ("Jun", 30),
    ("Jul", 31),
    ("Aug", 31),
    ("Sep", 30),
    ("Oct", 31),
    ("Nov", 30),
    ("Dec", 31),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (seconds, date) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            // The example of RFC 9110.
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
            (1_795_375_084, "Sun, 22 Nov 2026 19:18:04 GMT"),
            (1_798_761_599, "Thu, 31 Dec 2026 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (13_569_465_600, "Sat, 01 Jan 2400 00:00:00 GMT"),
        ] {
            assert_eq!(http_date(Timestamp::from_secs(seconds)), date);
        }
        // A clock that is out of its mind is no reason to stop serving.
        assert!(http_date(Timestamp::from_micros(u64::MAX)).ends_with(" GMT"));
    }

    #[test]
    fn answers_are_of_the_shape_of_a_web_servers_and_bounded() {
        let now = Timestamp::from_secs(784_111_777);
        for page in [
            Page::Home,
            Page::BadRequest,
            Page::NotFound,
            Page::NotAllowed,
            Page::TimedOut,
        ] {
            for keep_alive in [true, false] {
                let (mut whole, mut head) = (Vec::new(), Vec::new());
                page.encode(Timestamp::from_micros(u64::MAX), keep_alive, &mut whole);
                assert!(whole.len() <= 512, "{page:?}: {}", whole.len());
                whole.clear();
                page.encode(now, keep_alive, &mut whole);
                page.encode_head(now, keep_alive, &mut head);
                assert!(whole.starts_with(&head));
                let head = String::from_utf8_lossy(&head);
                let start = format!(
                    "HTTP/1.1 {}\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: Apache\r\n",
                    page.status()
                );
                assert!(head.starts_with(&start), "{head}");
                assert_eq!(head.contains("\r\nConnection: close\r\n"), !keep_alive);
                let length = format!("\r\nContent-Length: {}\r\n", whole.len() - head.len());
                assert!(head.contains(&length), "{head}");
            }
        }
    }
}
