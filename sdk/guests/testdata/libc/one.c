// The plugin and the SDK as one translation unit, behind the library's headers.
#include "plugin.c"

#include "wirehost.c"
