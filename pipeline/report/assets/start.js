"use strict";
fgdata.browser.start();
