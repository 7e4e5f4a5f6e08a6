//! duo-simulator.
