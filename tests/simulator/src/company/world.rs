//! What the world has to offer: cities, first names, browsers, applications. Plain tables.

/// A city as Duo names it: no coordinates, only names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct City {
    pub(crate) name: &'static str,
    pub(crate) state: &'static str,
    pub(crate) country: &'static str,
    /// Minutes east of UTC. Summer time does not matter to anything here.
    pub(crate) offset: i64,
    /// The country's calling code.
    pub(crate) dial: &'static str,
}

const fn city(name: &'static str, state: &'static str, country: &'static str, offset: i64, dial: &'static str) -> City {
    City {
        name,
        state,
        country,
        offset,
        dial,
    }
}

/// Where companies have offices and their people live: each group is an office and the towns around it.
pub(crate) static REGIONS: [[City; 3]; 7] = [
    [
        city("Ann Arbor", "Michigan", "United States", -300, "1"),
        city("Detroit", "Michigan", "United States", -300, "1"),
        city("Ypsilanti", "Michigan", "United States", -300, "1"),
    ],
    [
        city("London", "England", "United Kingdom", 0, "44"),
        city("Reading", "England", "United Kingdom", 0, "44"),
        city("Brighton", "England", "United Kingdom", 0, "44"),
    ],
    [
        city("München", "Bayern", "Germany", 60, "49"),
        city("Augsburg", "Bayern", "Germany", 60, "49"),
        city("Freising", "Bayern", "Germany", 60, "49"),
    ],
    [
        city("Bengaluru", "Karnataka", "India", 330, "91"),
        city("Mysuru", "Karnataka", "India", 330, "91"),
        city("Tumakuru", "Karnataka", "India", 330, "91"),
    ],
    [
        city("Chicago", "Illinois", "United States", -360, "1"),
        city("Evanston", "Illinois", "United States", -360, "1"),
        city("Naperville", "Illinois", "United States", -360, "1"),
    ],
    [
        city("Paris", "Île-de-France", "France", 60, "33"),
        city("Versailles", "Île-de-France", "France", 60, "33"),
        city("Montreuil", "Île-de-France", "France", 60, "33"),
    ],
    [
        city("Montréal", "Quebec", "Canada", -300, "1"),
        city("Laval", "Quebec", "Canada", -300, "1"),
        city("Longueuil", "Quebec", "Canada", -300, "1"),
    ],
];

/// Where people travel to for their work.
pub(crate) static DESTINATIONS: [City; 10] = [
    city("Dublin", "Leinster", "Ireland", 0, "353"),
    city("Madrid", "Comunidad de Madrid", "Spain", 60, "34"),
    city("Zürich", "Zürich", "Switzerland", 60, "41"),
    city("Stockholm", "Stockholms län", "Sweden", 60, "46"),
    city("Milano", "Lombardia", "Italy", 60, "39"),
    city("Vienna", "Wien", "Austria", 60, "43"),
    city("Lisbon", "Lisboa", "Portugal", 0, "351"),
    city("Copenhagen", "Hovedstaden", "Denmark", 60, "45"),
    city("Singapore", "Singapore", "Singapore", 480, "65"),
    city("Warszawa", "Mazowieckie", "Poland", 60, "48"),
];

/// Where an intruder's rented machines stand.
pub(crate) static INTRUDER_CITIES: [City; 12] = [
    city("Sofia", "Sofia-Capital", "Bulgaria", 120, "359"),
    city("Lagos", "Lagos", "Nigeria", 60, "234"),
    city("Bucharest", "București", "Romania", 120, "40"),
    city("Hanoi", "Ha Noi", "Vietnam", 420, "84"),
    city("São Paulo", "Sao Paulo", "Brazil", -180, "55"),
    city("Jakarta", "Jakarta", "Indonesia", 420, "62"),
    city("Minsk", "Minsk City", "Belarus", 180, "375"),
    city("Riga", "Riga", "Latvia", 120, "371"),
    city("Chisinau", "Chișinău Municipality", "Moldova", 120, "373"),
    city("Tbilisi", "Tbilisi", "Georgia", 240, "995"),
    city("Karachi", "Sindh", "Pakistan", 300, "92"),
    city("Bogotá", "Bogota D.C.", "Colombia", -300, "57"),
];

pub(crate) static FIRST_NAMES: [&str; 48] = [
    "Ada", "Amara", "Anna", "Arjun", "Beatriz", "Ben", "Carla", "Chen", "Chloé", "Daniel", "Deepa", "Diego", "Elena",
    "Emil", "Erik", "Fatima", "Femi", "Greta", "Hana", "Hugo", "Ines", "Ivan", "Jana", "Jonas", "Kavya", "Kenji",
    "Lars", "Leila", "Lina", "Luca", "Maja", "Marco", "Mei", "Nadia", "Nils", "Nora", "Olga", "Omar", "Paula", "Priya",
    "Rahul", "Rosa", "Sami", "Sofia", "Tariq", "Thea", "Vera", "Yusuf",
];

pub(crate) static LAST_NAMES: [&str; 60] = [
    "Adams", "Ahmed", "Alvarez", "Andersen", "Banerjee", "Baumann", "Becker", "Bianchi", "Brown", "Carter", "Castro",
    "Chandra", "Clarke", "Costa", "Cruz", "Dubois", "Edwards", "Eriksen", "Fischer", "Fontaine", "Garcia", "Gupta",
    "Haddad", "Hansen", "Hoffmann", "Hughes", "Iyer", "Jansen", "Kaya", "Keller", "Khan", "Klein", "Kowalski", "Kumar",
    "Lambert", "Lee", "Lopez", "Martin", "Meyer", "Moreau", "Murphy", "Nair", "Nguyen", "Novak", "O'Brien", "Okafor",
    "Olsen", "Park", "Patel", "Petrov", "Ramos", "Rao", "Ricci", "Schmidt", "Silva", "Singh", "Tanaka", "Turner",
    "Weber", "Yilmaz",
];

/// Departments, which are groups in the directory.
pub(crate) static DEPARTMENTS: [&str; 9] = [
    "Finance",
    "Engineering",
    "Sales",
    "Legal",
    "Operations",
    "Support",
    "Human Resources",
    "Marketing",
    "Research",
];

/// How an application asks for the second factor, which decides what Duo gets to know of the access device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prompt {
    /// In a browser: Duo sees all of it. Only here can a device be remembered.
    Browser,
    /// Over RADIUS: an address and nothing else.
    Radius,
    /// At a Windows logon: the host's name.
    Logon,
    /// In a Unix terminal: the host's name, often no address.
    Shell,
}

/// Applications: name, how it asks, how often it is used.
pub(crate) static APPLICATIONS: [(&str, Prompt, u32); 12] = [
    ("Microsoft 365", Prompt::Browser, 26),
    ("Cisco AnyConnect VPN", Prompt::Radius, 13),
    ("Salesforce", Prompt::Browser, 10),
    ("GitHub Enterprise", Prompt::Browser, 8),
    ("Single Sign-On", Prompt::Browser, 12),
    ("Workday", Prompt::Browser, 6),
    ("AWS Console", Prompt::Browser, 5),
    ("Microsoft RDP", Prompt::Logon, 5),
    ("UNIX Application", Prompt::Shell, 3),
    ("Confluence", Prompt::Browser, 6),
    ("ServiceNow", Prompt::Browser, 4),
    ("User Portal", Prompt::Browser, 1),
];

/// What single sign-on leads to.
pub(crate) static SSO_TARGETS: [&str; 4] = ["Zoom", "Slack", "Box", "Jira Cloud"];

/// An operating system and a browser, in versions that were about at one time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Software {
    pub(crate) os: &'static str,
    pub(crate) os_version: &'static str,
    pub(crate) browser: &'static str,
    pub(crate) browser_version: &'static str,
}

const fn software(
    os: &'static str,
    os_version: &'static str,
    browser: &'static str,
    browser_version: &'static str,
) -> Software {
    Software {
        os,
        os_version,
        browser,
        browser_version,
    }
}

/// What people work with, and how common it is.
pub(crate) static SOFTWARE: [(Software, u32); 10] = [
    (software("Windows", "11", "Chrome", "141.0.0.0"), 26),
    (software("Windows", "10", "Chrome", "141.0.0.0"), 12),
    (software("Windows", "11", "Edge Chromium", "141.0.3537.57"), 18),
    (software("Windows", "10", "Firefox", "143.0"), 4),
    (software("Mac OS X", "15.6.1", "Chrome", "141.0.0.0"), 14),
    (software("Mac OS X", "14.7.8", "Safari", "18.6"), 9),
    (software("Mac OS X", "10.15.7", "Chrome", "140.0.0.0"), 6),
    (software("Linux", "Unknown", "Firefox", "144.0"), 5),
    (software("iOS", "18.6.2", "Mobile Safari", "18.6"), 4),
    (software("Chrome OS", "16328.55.0", "Chrome", "140.0.0.0"), 2),
];

/// What an intruder works with: clean machines in rented rooms.
pub(crate) static INTRUDER_SOFTWARE: [Software; 4] = [
    software("Windows", "10", "Chrome", "139.0.0.0"),
    software("Linux", "Unknown", "Chrome", "138.0.0.0"),
    software("Linux", "Unknown", "Firefox", "128.0"),
    software("Windows", "11", "Opera", "120.0.0.0"),
];
