//! The IPVM node that composes the defaults, and the ipvm command.
