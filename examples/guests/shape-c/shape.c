// Measuring a text: a guest without imports, so that its results depend on its
// arguments alone. shape.h is generated from wit/shape.wit by build.sh.

#include "shape.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

static bool is_space(uint8_t byte) {
  return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

// Strings arrive as valid UTF-8, in which every character has exactly one byte
// that is not a continuation byte.
static bool starts_char(uint8_t byte) { return (byte & 0xC0) != 0x80; }

void exports_shape_measure(shape_string_t *text, shape_text_shape_t *ret) {
  uint64_t chars = 0, lines = 0, words = 0, longest = 0;
  uint64_t line = 0; // characters since the last LF
  bool in_word = false;

  for (size_t i = 0; i < text->len; i++) {
    const uint8_t byte = text->ptr[i];
    const bool space = is_space(byte);

    if (starts_char(byte)) {
      chars++;
    }
    if (!space && !in_word) {
      words++;
    }
    in_word = !space;

    if (byte == '\n') {
      // Only the CR next to the LF is part of the line end.
      if (i > 0 && text->ptr[i - 1] == '\r') {
        line--;
      }
      if (line > longest) {
        longest = line;
      }
      line = 0;
      lines++;
    } else if (starts_char(byte)) {
      line++;
    }
  }
  if (text->len > 0 && text->ptr[text->len - 1] != '\n') {
    if (line > longest) {
      longest = line;
    }
    lines++;
  }

  ret->bytes = text->len;
  ret->chars = chars;
  ret->lines = lines;
  ret->words = words;
  ret->longest_line = longest;

  // The canonical ABI hands a lifted argument over to the callee.
  shape_string_free(text);
}

void exports_shape_letters(shape_string_t *text,
                           shape_list_letter_count_t *ret) {
  uint64_t counts[26] = {0};
  for (size_t i = 0; i < text->len; i++) {
    const uint8_t byte = text->ptr[i];
    if (byte >= 'a' && byte <= 'z') {
      counts[byte - 'a']++;
    } else if (byte >= 'A' && byte <= 'Z') {
      counts[byte - 'A']++;
    }
  }
  shape_string_free(text);

  size_t found = 0;
  for (size_t i = 0; i < 26; i++) {
    found += counts[i] > 0;
  }

  ret->ptr = NULL;
  ret->len = 0;
  if (found == 0) {
    return; // malloc(0) may or may not return NULL; do not depend on it
  }
  ret->ptr = malloc(found * sizeof *ret->ptr);
  if (ret->ptr == NULL) {
    // The signature knows no error, and a shortened list would be a wrong
    // answer: trap.
    __builtin_trap();
  }
  for (size_t i = 0; i < 26; i++) {
    if (counts[i] > 0) {
      ret->ptr[ret->len].letter = (uint32_t)('a' + i);
      ret->ptr[ret->len].count = counts[i];
      ret->len++;
    }
  }
  // The list is freed by the post-return function that wit-bindgen generates.
}
