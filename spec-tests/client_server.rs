//! The client-server API, a file for each module of the specification.

mod account_data;
mod conventions;
mod create_room;
mod discovery;
mod endpoints;
mod login;
mod membership;
mod register;

use crate::harness::Test;

/// All tests of this API.
pub fn tests() -> Vec<Test> {
    let modules = [
        account_data::tests(),
        conventions::tests(),
        create_room::tests(),
        discovery::tests(),
        endpoints::tests(),
        login::tests(),
        membership::tests(),
        register::tests(),
    ];
    modules.concat()
}
