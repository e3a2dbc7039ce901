"use strict";
// The first use of Intl in a process reads what is known of all languages. Here it holds up no task of the page.
new Intl.NumberFormat(navigator.language);
new Intl.DateTimeFormat();
postMessage("warm");
