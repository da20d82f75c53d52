/** The harness itself: what the other tests take for granted about it. */
import '../harness/selftest/network.js';
import '../harness/selftest/processes.js';
import '../harness/selftest/stalls.js';
