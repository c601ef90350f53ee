/** As in the tests of the hooks: what goes to the console is a failure of the test. */

import "../../../react/tests/support/complaints.js";
