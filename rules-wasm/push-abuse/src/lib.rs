//! Stock rules about prompts that the user did not ask for: reported, refused, ignored, and at last approved.

mod auth_reported_fraud;
mod mfa_fatigue_denied_burst;
mod mfa_fatigue_then_success;

picket::module!(
    auth_reported_fraud::reported,
    mfa_fatigue_denied_burst::harassed,
    mfa_fatigue_then_success::gave_in,
);
