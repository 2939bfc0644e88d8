// What wit/guest.wit says that the guest can do. build.sh generates guest.h from it.

#include "guest.h"

#include <stdlib.h>
#include <string.h>

void exports_guest_greet(guest_string_t *name, guest_string_t *ret) {
  static const char before[] = "Hello, ", after[] = "!";
  const size_t start = sizeof before - 1, end = sizeof after - 1;

  ret->len = start + name->len + end;
  ret->ptr = malloc(ret->len);
  if (ret->ptr == NULL) {
    __builtin_trap(); // there is no error that could be given
  }
  memcpy(ret->ptr, before, start);
  if (name->len > 0) {
    memcpy(ret->ptr + start, name->ptr, name->len);
  }
  memcpy(ret->ptr + start + name->len, after, end);

  // Arguments belong to the function, results to the caller.
  guest_string_free(name);
}
