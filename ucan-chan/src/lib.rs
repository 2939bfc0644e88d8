//! Consumable channels: UCAN authority that is used up, by signed cumulative vouchers.
