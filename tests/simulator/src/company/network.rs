//! Where people are when they log in: offices with an egress address, homes whose provider changes the address every few
//! days, phones on the move, hotels, and rooms rented by intruders.
//!
//! All addresses are of 198.18.0.0/15 and 2001:db8::/32, which are set aside for tests and belong to nobody.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::dice::Dice;
use super::world::City;

/// Where a login comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Site {
    pub(crate) ip: IpAddr,
    pub(crate) city: &'static City,
}

/// 256 neighbouring addresses, held by one party.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Net(u32);

impl Net {
    /// The address `host` of it (1 to 254).
    pub(crate) fn address(self, host: u64) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(self.0 + 1 + (host % 254) as u32))
    }

    /// Any address of it.
    pub(crate) fn any(self, dice: &mut Dice) -> IpAddr {
        self.address(dice.below(254))
    }
}

/// Hands out networks nobody has yet.
#[derive(Debug)]
pub(crate) struct Networks {
    next: u32,
}

impl Networks {
    pub(crate) fn new() -> Self {
        Self { next: 0 }
    }

    /// A network nobody has used. After 512 they come round again, which no company here reaches.
    pub(crate) fn fresh(&mut self) -> Net {
        let base = Ipv4Addr::new(198, 18, 0, 0).to_bits();
        let net = Net(base + (self.next % 512) * 256);
        self.next += 1;
        net
    }

    /// A place in `city` that nobody has ever logged in from.
    pub(crate) fn strange(&mut self, city: &'static City, dice: &mut Dice) -> Site {
        Site {
            ip: self.fresh().any(dice),
            city,
        }
    }
}

/// The providers of one town: two for homes with three networks each, one for phones.
#[derive(Debug)]
pub(crate) struct Providers {
    pub(crate) city: &'static City,
    home: [Net; 3],
    mobile: Net,
}

impl Providers {
    pub(crate) fn new(city: &'static City, networks: &mut Networks) -> Self {
        Self {
            city,
            home: [networks.fresh(), networks.fresh(), networks.fresh()],
            mobile: networks.fresh(),
        }
    }

    /// A phone on the move: another address each time.
    pub(crate) fn on_the_move(&self, dice: &mut Dice) -> Site {
        Site {
            ip: self.mobile.any(dice),
            city: self.city,
        }
    }

    /// A home: its address stays for `lease` days, then the provider gives another.
    pub(crate) fn home(&self, home: &Home, day: i64) -> IpAddr {
        if home.v6 {
            let [high, low] = [(home.number >> 16) as u16, home.number as u16];
            return IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, high, low, 0, 0, 0, 0x1a));
        }
        let turn = (day + i64::from(home.number % 7)).div_euclid(home.lease.max(1)) as u64;
        let mixed = (u64::from(home.number) + 1)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .wrapping_add(turn.wrapping_mul(0xbf58_476d_1ce4_e5b9));
        let [first, second, third] = self.home;
        let net = match mixed >> 60 & 3 {
            0 | 3 => first,
            1 => second,
            _ => third,
        };
        net.address(mixed >> 32)
    }
}

/// Somebody's line at home.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    /// Which of the region's towns.
    pub(crate) town: usize,
    /// Tells homes apart.
    pub(crate) number: u32,
    /// Days an address stays.
    pub(crate) lease: i64,
    /// A provider that gives IPv6.
    pub(crate) v6: bool,
}

/// An office: a region, and the addresses its people appear under.
#[derive(Debug)]
pub(crate) struct Office {
    /// The office's town first, then the towns around it.
    pub(crate) towns: [Providers; 3],
    egress: Net,
}

impl Office {
    pub(crate) fn new(towns: &'static [City; 3], networks: &mut Networks) -> Self {
        let [office, near, far] = towns;
        Self {
            towns: [
                Providers::new(office, networks),
                Providers::new(near, networks),
                Providers::new(far, networks),
            ],
            egress: networks.fresh(),
        }
    }

    pub(crate) fn city(&self) -> &'static City {
        let [office, ..] = &self.towns;
        office.city
    }

    /// The town of this number.
    pub(crate) fn town(&self, number: usize) -> &Providers {
        let [office, ..] = &self.towns;
        self.towns.get(number).unwrap_or(office)
    }

    /// A desk in it: each person leaves the building by one of two addresses.
    pub(crate) fn desk(&self, person: usize) -> Site {
        Site {
            ip: self.egress.address(10 + (person % 2) as u64),
            city: self.city(),
        }
    }
}
