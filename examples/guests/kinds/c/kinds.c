// Every kind of value, in C. ../wit/kinds.wit says what the functions do; kinds.h is generated from it by build.sh.
//
// The canonical ABI hands the arguments over to the callee and the result to the caller: an echo moves its argument,
// and what does not become part of a result is freed.

#include "kinds.h"

#include <stdlib.h>
#include <string.h>

// No signature here has an error for it, and less than the whole result would be a wrong answer: trap.
static void *room(size_t count, size_t size) {
  void *ptr = count > SIZE_MAX / size ? NULL : malloc(count * size);
  if (ptr == NULL) {
    __builtin_trap();
  }
  return ptr;
}

bool exports_api_echo_bool(bool value) { return value; }
uint32_t exports_api_echo_char(uint32_t value) { return value; }
void exports_api_echo_string(kinds_string_t *value, kinds_string_t *ret) { *ret = *value; }
void exports_api_echo_integers(kinds_tuple6_s8_u8_s16_u16_s32_u32_t *value, kinds_tuple6_s8_u8_s16_u16_s32_u32_t *ret) {
  *ret = *value;
}
int64_t exports_api_echo_s64(int64_t value) { return value; }
uint64_t exports_api_echo_u64(uint64_t value) { return value; }
void exports_api_echo_floats(kinds_tuple2_f32_f64_t *value, kinds_tuple2_f32_f64_t *ret) { *ret = *value; }
void exports_api_echo_bytes(kinds_list_u8_t *value, kinds_list_u8_t *ret) { *ret = *value; }
void exports_api_echo_numbers(kinds_list_s64_t *value, kinds_list_s64_t *ret) { *ret = *value; }
void exports_api_echo_blobs(kinds_list_list_u8_t *value, kinds_list_list_u8_t *ret) { *ret = *value; }
void exports_api_echo_person(exports_api_person_t *value, exports_api_person_t *ret) { *ret = *value; }
void exports_api_echo_shape(exports_api_shape_t *value, exports_api_shape_t *ret) { *ret = *value; }
exports_api_color_t exports_api_echo_color(exports_api_color_t value) { return value; }
exports_api_permissions_t exports_api_echo_permissions(exports_api_permissions_t value) { return value; }

// The outer option is a pointer on its way in and a boolean on its way out.
bool exports_api_echo_nested(kinds_option_s32_t *maybe_value, kinds_option_s32_t *ret) {
  if (maybe_value == NULL) {
    return false;
  }
  *ret = *maybe_value;
  return true;
}

void exports_api_echo_outcomes(
    exports_api_tuple4_result_void_void_result_u32_void_result_void_string_result_list_u8_string_t *value,
    exports_api_tuple4_result_void_void_result_u32_void_result_void_string_result_list_u8_string_t *ret) {
  *ret = *value;
}

void exports_api_nothing(void) {}

// Sums are of unsigned numbers, which wrap in C; signed ones must not overflow.

int64_t exports_api_sum(kinds_list_s64_t *numbers) {
  uint64_t sum = 0;
  for (size_t i = 0; i < numbers->len; i++) {
    sum += (uint64_t)numbers->ptr[i];
  }
  kinds_list_s64_free(numbers);
  return (int64_t)sum;
}

static bool parse(const kinds_string_t *text, uint64_t *number) {
  const bool negative = text->len > 0 && text->ptr[0] == '-';
  const size_t digits = text->len - negative;
  if (digits < 1 || digits > 19) {
    return false;
  }
  uint64_t magnitude = 0; // less than 10^19, which is less than 2^64
  for (size_t i = negative; i < text->len; i++) {
    const uint8_t byte = text->ptr[i];
    if (byte < '0' || byte > '9') {
      return false;
    }
    magnitude = magnitude * 10 + (byte - '0');
  }
  if (magnitude > (uint64_t)INT64_MAX + negative) {
    return false;
  }
  *number = negative ? -magnitude : magnitude;
  return true;
}

bool exports_api_sum_decimal(kinds_list_string_t *numbers, kinds_string_t *ret, kinds_string_t *err) {
  uint64_t sum = 0;
  for (size_t i = 0; i < numbers->len; i++) {
    uint64_t number;
    if (!parse(&numbers->ptr[i], &number)) {
      kinds_string_dup_n(err, (const char *)numbers->ptr[i].ptr, numbers->ptr[i].len);
      kinds_list_string_free(numbers);
      return false;
    }
    sum += number;
  }
  kinds_list_string_free(numbers);

  char digits[20]; // of a sign and 19 digits
  size_t start = sizeof digits;
  const bool negative = sum > INT64_MAX;
  uint64_t left = negative ? -sum : sum;
  do {
    digits[--start] = (char)('0' + left % 10);
    left /= 10;
  } while (left > 0);
  if (negative) {
    digits[--start] = '-';
  }
  kinds_string_dup_n(ret, digits + start, sizeof digits - start);
  return true;
}

void exports_api_sum_halves(exports_api_list_halves_t *numbers, exports_api_halves_t *ret) {
  uint64_t sum = 0;
  for (size_t i = 0; i < numbers->len; i++) {
    sum += ((uint64_t)(uint32_t)numbers->ptr[i].high << 32) + numbers->ptr[i].low;
  }
  exports_api_list_halves_free(numbers);
  ret->high = (int32_t)(sum >> 32);
  ret->low = (uint32_t)sum;
}

bool exports_api_mean(kinds_list_f64_t *numbers, double *ret) {
  double sum = 0;
  for (size_t i = 0; i < numbers->len; i++) {
    sum += numbers->ptr[i];
  }
  const bool some = numbers->len > 0;
  if (some) {
    *ret = sum / (double)numbers->len;
  }
  kinds_list_f64_free(numbers);
  return some;
}

void exports_api_scale(kinds_list_f32_t *numbers, float factor, kinds_list_f32_t *ret) {
  for (size_t i = 0; i < numbers->len; i++) {
    numbers->ptr[i] *= factor;
  }
  *ret = *numbers;
}

// Strings arrive as valid UTF-8, in which every scalar value has exactly one byte that is no continuation byte.
static bool continues(uint8_t byte) { return (byte & 0xC0) == 0x80; }

void exports_api_reverse(kinds_string_t *text, kinds_string_t *ret) {
  ret->len = text->len;
  ret->ptr = text->len == 0 ? NULL : room(text->len, 1);
  size_t end = text->len;
  for (size_t i = 0; i < text->len;) {
    size_t length = 1;
    while (i + length < text->len && continues(text->ptr[i + length])) {
      length++;
    }
    end -= length;
    memcpy(ret->ptr + end, text->ptr + i, length);
    i += length;
  }
  kinds_string_free(text);
}

uint32_t exports_api_crc32(kinds_list_u8_t *bytes) {
  uint32_t crc = ~UINT32_C(0);
  for (size_t i = 0; i < bytes->len; i++) {
    crc ^= bytes->ptr[i];
    for (int bit = 0; bit < 8; bit++) {
      crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0xedb88320) : 0);
    }
  }
  kinds_list_u8_free(bytes);
  return ~crc;
}

static int compare(const void *left, const void *right) {
  const kinds_string_t *a = left, *b = right;
  const size_t shorter = a->len < b->len ? a->len : b->len;
  const int order = shorter == 0 ? 0 : memcmp(a->ptr, b->ptr, shorter);
  return order != 0 ? order : (a->len > b->len) - (a->len < b->len);
}

void exports_api_sort(kinds_list_string_t *texts, kinds_list_string_t *ret) {
  if (texts->len > 1) {
    qsort(texts->ptr, texts->len, sizeof *texts->ptr, compare);
  }
  *ret = *texts;
}

static bool is_space(uint8_t byte) { return byte == ' ' || (byte >= '\t' && byte <= '\r'); }

// Finds the next word at or after `from`; it has no bytes where there is none.
static kinds_string_t next_word(const kinds_string_t *text, size_t from) {
  while (from < text->len && is_space(text->ptr[from])) {
    from++;
  }
  size_t end = from;
  while (end < text->len && !is_space(text->ptr[end])) {
    end++;
  }
  return (kinds_string_t){text->ptr + from, end - from};
}

void exports_api_count_words(kinds_string_t *text, kinds_list_tuple2_string_u64_t *ret) {
  ret->ptr = NULL;
  ret->len = 0;
  size_t count = 0;
  for (kinds_string_t word = next_word(text, 0); word.len > 0;
       word = next_word(text, (size_t)(word.ptr - text->ptr) + word.len)) {
    count++;
  }
  if (count > 0) {
    kinds_string_t *words = room(count, sizeof *words);
    size_t from = 0;
    for (size_t i = 0; i < count; i++) {
      words[i] = next_word(text, from);
      from = (size_t)(words[i].ptr - text->ptr) + words[i].len;
    }
    qsort(words, count, sizeof *words, compare);

    ret->ptr = room(count, sizeof *ret->ptr);
    for (size_t i = 0; i < count; i++) {
      if (i > 0 && compare(&words[i - 1], &words[i]) == 0) {
        ret->ptr[ret->len - 1].f1++;
        continue;
      }
      kinds_string_dup_n(&ret->ptr[ret->len].f0, (const char *)words[i].ptr, words[i].len);
      ret->ptr[ret->len++].f1 = 1;
    }
    free(words);
  }
  kinds_string_free(text);
}

// A text that is made piece by piece.
static void push(kinds_string_t *text, const void *piece, size_t len) {
  if (len == 0) {
    return;
  }
  uint8_t *grown = realloc(text->ptr, text->len + len);
  if (grown == NULL) {
    __builtin_trap();
  }
  memcpy(grown + text->len, piece, len);
  text->ptr = grown;
  text->len += len;
}

static void push_text(kinds_string_t *text, const char *piece) { push(text, piece, strlen(piece)); }

// `printf` would ask for a standard output, and make the component ten times as large.
static void push_number(kinds_string_t *text, uint32_t number) {
  char digits[10];
  size_t start = sizeof digits;
  do {
    digits[--start] = (char)('0' + number % 10);
    number /= 10;
  } while (number > 0);
  push(text, digits + start, sizeof digits - start);
}

void exports_api_describe(exports_api_shape_t *shape, kinds_string_t *ret) {
  ret->ptr = NULL;
  ret->len = 0;
  switch (shape->tag) {
  case EXPORTS_API_SHAPE_DOT:
    push_text(ret, "dot");
    break;
  case EXPORTS_API_SHAPE_CIRCLE:
    push_text(ret, "circle of radius ");
    push_number(ret, shape->val.circle);
    break;
  case EXPORTS_API_SHAPE_RECTANGLE:
    push_text(ret, "rectangle of ");
    push_number(ret, shape->val.rectangle.f0);
    push_text(ret, " by ");
    push_number(ret, shape->val.rectangle.f1);
    break;
  case EXPORTS_API_SHAPE_POLYGON:
    push_text(ret, "polygon of ");
    push_number(ret, (uint32_t)shape->val.polygon.len);
    push_text(ret, " points");
    break;
  case EXPORTS_API_SHAPE_LABEL:
    push_text(ret, "label with ");
    push(ret, shape->val.label.ptr, shape->val.label.len);
    break;
  }
  exports_api_shape_free(shape);
}

exports_api_permissions_t exports_api_unite(exports_api_permissions_t left, exports_api_permissions_t right) { return left | right; }

bool exports_api_divide(int32_t dividend, int32_t divisor, int32_t *ret, exports_api_division_error_t *err) {
  if (divisor == 0) {
    *err = EXPORTS_API_DIVISION_ERROR_BY_ZERO;
    return false;
  }
  if (dividend == INT32_MIN && divisor == -1) {
    *err = EXPORTS_API_DIVISION_ERROR_OVERFLOW;
    return false;
  }
  *ret = dividend / divisor;
  return true;
}

bool exports_api_find(exports_api_list_person_t *people, kinds_string_t *name, exports_api_person_t *ret) {
  bool found = false;
  for (size_t i = 0; i < people->len; i++) {
    if (!found && compare(&people->ptr[i].name, name) == 0) {
      *ret = people->ptr[i]; // moves
      found = true;
    } else {
      exports_api_person_free(&people->ptr[i]);
    }
  }
  if (people->len > 0) {
    free(people->ptr);
  }
  kinds_string_free(name);
  return found;
}
