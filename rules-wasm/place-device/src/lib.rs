//! Stock rules about where users come from, and with which device.

mod new_access_country;
mod remembered_device_overuse;

picket::module!(new_access_country::travelled, remembered_device_overuse::overused);
