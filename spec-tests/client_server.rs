//! The client-server API, a file for each module of the specification.

mod account_data;
mod conventions;
mod discovery;
mod endpoints;
mod login;
mod register;

use crate::harness::Test;

/// All tests of this API.
pub fn tests() -> Vec<Test> {
    let modules = [
        account_data::tests(),
        conventions::tests(),
        discovery::tests(),
        endpoints::tests(),
        login::tests(),
        register::tests(),
    ];
    modules.concat()
}
