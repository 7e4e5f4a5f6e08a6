//! Stock rules about chains of events, over several logs, that together take an account over.

mod mfa_reset_takeover_chain;

picket::module!(mfa_reset_takeover_chain::takeover);
