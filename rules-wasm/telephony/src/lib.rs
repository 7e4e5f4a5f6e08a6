//! Stock rules about the texts and calls that Duo sends.

mod telephony_number_burst;

picket::module!(telephony_number_burst::burst);
