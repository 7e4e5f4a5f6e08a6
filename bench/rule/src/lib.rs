//! A rule for measuring: it looks at four fields of every login and is almost always silent.
//!
//! The stock rules will not do for that: the condition of a stateless one leaves a handful of rows of a day, and then the
//! price of a call, not of a row, is what a bench sees.

mod odd_attempt;

picket::module!(odd_attempt::odd);
