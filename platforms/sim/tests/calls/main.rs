//! Every call of the async API is dropped at every of its waits, one per run, in an exchange that
//! goes on: nothing is lost but what the call's documentation says, and nothing is left.
//!
//! | module | what lives there |
//! |---|---|
//! | here | the table of calls |
//! | `probe` | drops the call under test, counts tasks and wakers |
//! | `world` | runs an exchange for each wait, and checks what holds for all of them |
//! | `peers` | what the other end does |
//! | `connecting`, `streams`, `buffers`, `datagrams`, `names`, `tasks`, `traits` | the exchanges |
//! | `local` | the same for sets of tasks, which need no network |
//!
//! A new call is a function that makes it through a [`Probe`](probe::Probe), and a line below.

mod buffers;
mod connecting;
mod datagrams;
mod local;
mod names;
mod peers;
mod probe;
mod streams;
mod tasks;
mod traits;
mod world;

/// Each line is a test: an exchange, its peer, how often the call waits at least, and who may keep
/// a dropped call's waker (nobody, unless said: what is polled through a reference lives on).
macro_rules! calls {
    ($($module:ident: {
        $($name:ident, $peer:ident, $waits_min:expr $(, keeps $keepers_max:expr)?;)*
    })*) => {$(
        mod $module {
            use crate::{peers, world::{Case, check}};

            $(
                #[test]
                fn $name() {
                    check(&Case {
                        name: concat!(stringify!($module), "::", stringify!($name)),
                        peer: |tasks| Box::pin(peers::$peer(tasks)),
                        exchange: |probe| Box::pin(crate::$module::$name(probe)),
                        waits_min: $waits_min,
                        keepers_max: 0 $(+ $keepers_max)?,
                    });
                }
            )*
        }
    )*};
}

mod table {
    calls! {
        connecting: {
            connect, services, 1;
            connect_to_a_list, services, 2;
            connect_by_name, services, 2;
            connect_by_name_of_both_kinds, services, 2;
            connect_refused, services, 1;
            connect_by_socket, services, 1;
            connect_begun_before, services, 1;
            accept, callers, 3;
            accept_by_socket, callers, 3;
            incoming, callers, 3, keeps 1;
            accept_beside_other_tasks, callers, 1;
            pool_get, services, 1;
            pool_get_of_a_new_connection, services, 2;
        }
        streams: {
            read, services, 10;
            read_by_half, services, 10;
            read_by_socket, services, 10;
            poll_read, services, 10, keeps 2;
            peek, services, 10;
            read_exact, services, 10;
            read_exact_by_half, services, 10;
            read_exact_by_socket, services, 10;
            write, services, 5;
            write_by_half, services, 5;
            write_by_socket, services, 5;
            poll_write, services, 5, keeps 2;
            write_all, services, 5;
            write_all_by_half, services, 5;
            write_all_by_socket, services, 5;
            flush_and_close, services, 0;
            both_halves, services, 10;
            read_beside_other_tasks, services, 1;
            read_beside_polling_tasks, services, 1;
            peek_beside_another_call, services, 1;
            select, services, 10;
            timeout_of_read, services, 10;
            unpolled, services, 10;
        }
        buffers: {
            buffered_read, services, 10;
            fill_buf, services, 10;
            next_line, services, 10;
            buffered_write, services, 5;
            buffered_write_of_much, services, 1;
            buffered_flush, services, 5;
            read_of_a_buffered_writer, services, 5;
            buffered_stream, services, 5;
            copy_without_buffer, services, 10;
            copy_with_buffer, services, 10;
        }
        datagrams: {
            recv_from, services, 5;
            recv, services, 5;
            recv_msg, services, 5;
            peek_from, services, 5;
            recv_beside_other_tasks, services, 1;
            send_to, services, 2;
            send_to_a_name, services, 12;
            send, services, 2;
            icmp_recv, services, 5;
            icmp_send_to, services, 1;
            ping_of_a_host, services, 1;
            raw_recv, services, 5;
            raw_send_to, services, 1;
        }
        names: {
            look_up, services, 2;
            look_up_of_addresses, services, 0;
            bind_a_listener, services, 1;
            bind_a_socket, services, 2;
            connect_a_socket, services, 1;
        }
        tasks: {
            sleeping, services, 3;
            tick, services, 4;
            tick_of_a_stream, services, 4, keeps 1;
            timeout_that_is_up, services, 2;
            yielding, services, 1;
            cancelled, services, 1;
            run_until_cancelled, services, 10;
            join, services, 1, keeps 1;
            join_for_good, services, 1;
            abort, services, 10, keeps 1;
            abort_for_good, services, 1, keeps 1;
            reactor_of_streams, services, 8;
            reactor_of_a_listener, callers, 3;
            reactor_of_datagrams, services, 5;
            cancel, services, 5;
            reactor_for_good, services, 5;
            reactor_refused, services, 1;
        }
        traits: {
            embedded_read, services, 10;
            embedded_write, services, 5;
            embedded_connect, services, 1;
            embedded_names, services, 1;
            embedded_bind, services, 0;
            embedded_connected_udp, services, 5;
            embedded_unconnected_udp, services, 5;
            edge_connect, services, 1;
            edge_accept, callers, 3;
            edge_names, services, 1;
            edge_readable_stream, services, 10;
            edge_readable_socket, services, 5;
            edge_udp, services, 5;
            edge_connected_udp, services, 5;
        }
    }
}
