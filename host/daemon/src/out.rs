//! Standard output. A reader that goes away (`picket alerts | head`) ends the program quietly, as it ends any other.

use std::fmt;
use std::io::Write as _;

/// Prints a line.
macro_rules! out {
    ($($part:tt)*) => { $crate::out::line(format_args!($($part)*)) };
}
pub(crate) use out;

/// Prints a line; ends the program if nobody reads it any more.
pub(crate) fn line(text: fmt::Arguments<'_>) {
    let mut stdout = std::io::stdout().lock();
    if let Err(error) = writeln!(stdout, "{text}") {
        if error.kind() != std::io::ErrorKind::BrokenPipe {
            eprintln!("picket: standard output: {error}");
        }
        std::process::exit(1);
    }
}
