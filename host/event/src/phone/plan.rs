//! The world's numbering plan, as far as a calling code tells it.
//!
//! Source: ITU-T E.164, list of assigned country codes; for +1, the area codes of Canada and of the islands. A code that several
//! countries share (+44, +47, +358, ...) counts for the greatest. A crate with full metadata was measured and left: 27 further
//! crates, 5 us a number, 60 ms for the first, and it places ordinary British mobile numbers on Guernsey.

/// Calling codes and the country they stand for.
const CODES: &[(&str, &str)] = &[
    ("20", "EG"),
    ("211", "SS"),
    ("212", "MA"),
    ("213", "DZ"),
    ("216", "TN"),
    ("218", "LY"),
    ("220", "GM"),
    ("221", "SN"),
    ("222", "MR"),
    ("223", "ML"),
    ("224", "GN"),
    ("225", "CI"),
    ("226", "BF"),
    ("227", "NE"),
    ("228", "TG"),
    ("229", "BJ"),
    ("230", "MU"),
    ("231", "LR"),
    ("232", "SL"),
    ("233", "GH"),
    ("234", "NG"),
    ("235", "TD"),
    ("236", "CF"),
    ("237", "CM"),
    ("238", "CV"),
    ("239", "ST"),
    ("240", "GQ"),
    ("241", "GA"),
    ("242", "CG"),
    ("243", "CD"),
    ("244", "AO"),
    ("245", "GW"),
    ("246", "IO"),
    ("247", "AC"),
    ("248", "SC"),
    ("249", "SD"),
    ("250", "RW"),
    ("251", "ET"),
    ("252", "SO"),
    ("253", "DJ"),
    ("254", "KE"),
    ("255", "TZ"),
    ("256", "UG"),
    ("257", "BI"),
    ("258", "MZ"),
    ("260", "ZM"),
    ("261", "MG"),
    ("262", "RE"),
    ("263", "ZW"),
    ("264", "NA"),
    ("265", "MW"),
    ("266", "LS"),
    ("267", "BW"),
    ("268", "SZ"),
    ("269", "KM"),
    ("27", "ZA"),
    ("290", "SH"),
    ("291", "ER"),
    ("297", "AW"),
    ("298", "FO"),
    ("299", "GL"),
    ("30", "GR"),
    ("31", "NL"),
    ("32", "BE"),
    ("33", "FR"),
    ("34", "ES"),
    ("350", "GI"),
    ("351", "PT"),
    ("352", "LU"),
    ("353", "IE"),
    ("354", "IS"),
    ("355", "AL"),
    ("356", "MT"),
    ("357", "CY"),
    ("358", "FI"),
    ("359", "BG"),
    ("36", "HU"),
    ("370", "LT"),
    ("371", "LV"),
    ("372", "EE"),
    ("373", "MD"),
    ("374", "AM"),
    ("375", "BY"),
    ("376", "AD"),
    ("377", "MC"),
    ("378", "SM"),
    ("379", "VA"),
    ("380", "UA"),
    ("381", "RS"),
    ("382", "ME"),
    ("383", "XK"),
    ("385", "HR"),
    ("386", "SI"),
    ("387", "BA"),
    ("389", "MK"),
    ("39", "IT"),
    ("40", "RO"),
    ("41", "CH"),
    ("420", "CZ"),
    ("421", "SK"),
    ("423", "LI"),
    ("43", "AT"),
    ("44", "GB"),
    ("45", "DK"),
    ("46", "SE"),
    ("47", "NO"),
    ("48", "PL"),
    ("49", "DE"),
    ("500", "FK"),
    ("501", "BZ"),
    ("502", "GT"),
    ("503", "SV"),
    ("504", "HN"),
    ("505", "NI"),
    ("506", "CR"),
    ("507", "PA"),
    ("508", "PM"),
    ("509", "HT"),
    ("51", "PE"),
    ("52", "MX"),
    ("53", "CU"),
    ("54", "AR"),
    ("55", "BR"),
    ("56", "CL"),
    ("57", "CO"),
    ("58", "VE"),
    ("590", "GP"),
    ("591", "BO"),
    ("592", "GY"),
    ("593", "EC"),
    ("594", "GF"),
    ("595", "PY"),
    ("596", "MQ"),
    ("597", "SR"),
    ("598", "UY"),
    ("599", "CW"),
    ("60", "MY"),
    ("61", "AU"),
    ("62", "ID"),
    ("63", "PH"),
    ("64", "NZ"),
    ("65", "SG"),
    ("66", "TH"),
    ("670", "TL"),
    ("672", "NF"),
    ("673", "BN"),
    ("674", "NR"),
    ("675", "PG"),
    ("676", "TO"),
    ("677", "SB"),
    ("678", "VU"),
    ("679", "FJ"),
    ("680", "PW"),
    ("681", "WF"),
    ("682", "CK"),
    ("683", "NU"),
    ("685", "WS"),
    ("686", "KI"),
    ("687", "NC"),
    ("688", "TV"),
    ("689", "PF"),
    ("690", "TK"),
    ("691", "FM"),
    ("692", "MH"),
    ("81", "JP"),
    ("82", "KR"),
    ("84", "VN"),
    ("850", "KP"),
    ("852", "HK"),
    ("853", "MO"),
    ("855", "KH"),
    ("856", "LA"),
    ("86", "CN"),
    ("880", "BD"),
    ("886", "TW"),
    ("90", "TR"),
    ("91", "IN"),
    ("92", "PK"),
    ("93", "AF"),
    ("94", "LK"),
    ("95", "MM"),
    ("960", "MV"),
    ("961", "LB"),
    ("962", "JO"),
    ("963", "SY"),
    ("964", "IQ"),
    ("965", "KW"),
    ("966", "SA"),
    ("967", "YE"),
    ("968", "OM"),
    ("970", "PS"),
    ("971", "AE"),
    ("972", "IL"),
    ("973", "BH"),
    ("974", "QA"),
    ("975", "BT"),
    ("976", "MN"),
    ("977", "NP"),
    ("98", "IR"),
    ("992", "TJ"),
    ("993", "TM"),
    ("994", "AZ"),
    ("995", "GE"),
    ("996", "KG"),
    ("998", "UZ"),
];

/// Area codes of +1 outside the United States.
const AREAS: &[(&str, &str)] = &[
    (
        "CA",
        "204 226 236 249 250 257 263 289 306 343 354 365 367 368 382 387 403 416 418 428 431 437 438 450 460 468 474 506 514 519 \
            537 548 568 579 581 584 587 600 604 613 622 633 639 644 647 655 672 677 683 688 705 709 742 753 778 780 782 807 819 825 \
            867 873 879 902 905 942",
    ),
    ("AG", "268"),
    ("AI", "264"),
    ("AS", "684"),
    ("BB", "246"),
    ("BM", "441"),
    ("BS", "242"),
    ("DM", "767"),
    ("DO", "809 829 849"),
    ("GD", "473"),
    ("GU", "671"),
    ("JM", "658 876"),
    ("KN", "869"),
    ("KY", "345"),
    ("LC", "758"),
    ("MP", "670"),
    ("MS", "664"),
    ("PR", "787 939"),
    ("SX", "721"),
    ("TC", "649"),
    ("TT", "868"),
    ("VC", "784"),
    ("VG", "284"),
    ("VI", "340"),
];

/// Calling codes of two digits; of those that remain, 1 and 7 have one, the others three.
const TWO: &str = "20 27 28 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 65 66 81 82 83 84 86 \
                   89 90 91 92 93 94 95 98";

/// Calling code and what follows it, of digits without `+`.
fn split(digits: &str) -> (&str, &str) {
    let length = match digits.as_bytes().first() {
        Some(b'1' | b'7') => 1,
        _ if digits
            .get(..2)
            .is_some_and(|two| TWO.split(' ').any(|code| code == two)) =>
        {
            2
        }
        _ => 3,
    };
    digits.split_at_checked(length).unwrap_or((digits, ""))
}

/// The digits of a canonical number behind its `+`, without an extension. None: it says no calling code.
fn international(number: &str) -> Option<&str> {
    let digits = number.strip_prefix('+')?;
    digits.split('x').next()
}

/// The country of a canonical number. None: it has no calling code, or one of no country.
pub(crate) fn country(number: &str) -> Option<&'static str> {
    let (code, rest) = split(international(number)?);
    match code {
        "1" => {
            let area = rest.get(..3)?;
            let found = AREAS
                .iter()
                .find(|(_, areas)| areas.split_whitespace().any(|other| other == area));
            Some(found.map_or("US", |(country, _)| country))
        }
        "7" if rest.starts_with(['6', '7']) => Some("KZ"),
        "7" => Some("RU"),
        code => CODES
            .iter()
            .find(|(other, _)| *other == code)
            .map(|(_, country)| *country),
    }
}

/// The calling code: `+44`.
pub(crate) fn code(number: &str) -> Option<String> {
    Some(format!("+{}", split(international(number)?).0))
}

/// Calling code and the three digits after it, if at least as much remains unsaid.
pub(crate) fn prefix(number: &str) -> Option<String> {
    let (code, rest) = split(international(number)?);
    let area = rest.get(..3).filter(|_| rest.len() >= 7).unwrap_or_default();
    Some(format!("+{code}{area}"))
}

/// What a number is within its country: without calling code, leading zeros and extension, the last ten digits.
pub(crate) fn national(number: &str) -> &str {
    let digits = match international(number) {
        Some(digits) => split(digits).1,
        None => number.split('x').next().unwrap_or(number),
    };
    let digits = digits.trim_start_matches('0');
    digits.get(digits.len().saturating_sub(10)..).unwrap_or(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn countries_prefixes_and_what_is_national() {
        for (number, of, starts, rest) in [
            ("+15035550142", Some("US"), Some("+1503"), "5035550142"),
            ("+14165550142", Some("CA"), Some("+1416"), "4165550142"),
            ("+18765550142", Some("JM"), Some("+1876"), "8765550142"),
            ("+447911123456", Some("GB"), Some("+44791"), "7911123456"),
            ("+33612345678", Some("FR"), Some("+33612"), "612345678"),
            ("0612345678", None, None, "612345678"),
            ("+390612345678", Some("IT"), Some("+39061"), "612345678"),
            ("+77012345678", Some("KZ"), Some("+7701"), "7012345678"),
            ("+79161234567", Some("RU"), Some("+7916"), "9161234567"),
            ("+37120000000", Some("LV"), Some("+371200"), "20000000"),
            ("+35312345678x12", Some("IE"), Some("+353123"), "12345678"),
            ("+88216123456", None, Some("+882161"), "16123456"),
            ("+15550100", Some("US"), Some("+1555"), "5550100"),
            ("5550100", None, None, "5550100"),
        ] {
            assert_eq!(country(number), of, "{number}");
            assert_eq!(prefix(number), starts.map(str::to_owned), "{number}");
            assert_eq!(national(number), rest, "{number}");
        }
        assert_eq!(
            (country("+"), country("+4"), prefix("+").as_deref()),
            (None, None, Some("+"))
        );
    }

    #[test]
    fn the_tables_are_in_order() {
        assert!(
            CODES.is_sorted() && AREAS.is_sorted_by_key(|(country, _)| if *country == "CA" { "" } else { country })
        );
        for (code, _) in CODES {
            assert_eq!(split(code).0, *code, "no code begins another");
        }
    }
}
