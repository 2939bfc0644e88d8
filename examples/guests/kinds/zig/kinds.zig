//! Every kind of value, in Zig. ../wit/kinds.wit says what the functions do; kinds.h is generated from it by build.sh.
//!
//! The canonical ABI hands the arguments over to the callee and the result to the caller: an echo moves its argument,
//! and what does not become part of a result is freed.

const std = @import("std");
const c = @cImport(@cInclude("kinds.h"));

/// What the generated code frees results with.
const allocator = std.heap.c_allocator;

/// What takes the place of an error that the signature does not have: less than the whole result would be wrong.
fn trap() noreturn {
    @trap();
}

/// A list or a string as a slice. An empty one may point nowhere.
fn items(list: anytype) []std.meta.Child(@TypeOf(list.ptr)) {
    return if (list.len == 0) &.{} else list.ptr[0..list.len];
}

/// Where a result begins. What an empty slice of Zig points to lies outside of memory, which the canonical ABI refuses.
fn start(slice: anytype) ?@TypeOf(slice.ptr) {
    return if (slice.len == 0) null else slice.ptr;
}

fn text(value: *const c.kinds_string_t) []const u8 {
    return items(value);
}

fn string(bytes: []u8) c.kinds_string_t {
    return .{ .ptr = start(bytes), .len = bytes.len };
}

fn copy(bytes: []const u8) c.kinds_string_t {
    return string(allocator.dupe(u8, bytes) catch trap());
}

export fn exports_api_echo_bool(value: bool) bool {
    return value;
}

export fn exports_api_echo_char(value: u32) u32 {
    return value;
}

export fn exports_api_echo_string(value: *c.kinds_string_t, ret: *c.kinds_string_t) void {
    ret.* = value.*;
}

const Integers = c.kinds_tuple6_s8_u8_s16_u16_s32_u32_t;

export fn exports_api_echo_integers(value: *Integers, ret: *Integers) void {
    ret.* = value.*;
}

export fn exports_api_echo_s64(value: i64) i64 {
    return value;
}

export fn exports_api_echo_u64(value: u64) u64 {
    return value;
}

export fn exports_api_echo_floats(value: *c.kinds_tuple2_f32_f64_t, ret: *c.kinds_tuple2_f32_f64_t) void {
    ret.* = value.*;
}

export fn exports_api_echo_bytes(value: *c.kinds_list_u8_t, ret: *c.kinds_list_u8_t) void {
    ret.* = value.*;
}

export fn exports_api_echo_numbers(value: *c.kinds_list_s64_t, ret: *c.kinds_list_s64_t) void {
    ret.* = value.*;
}

export fn exports_api_echo_blobs(value: *c.kinds_list_list_u8_t, ret: *c.kinds_list_list_u8_t) void {
    ret.* = value.*;
}

export fn exports_api_echo_person(value: *c.exports_api_person_t, ret: *c.exports_api_person_t) void {
    ret.* = value.*;
}

export fn exports_api_echo_shape(value: *c.exports_api_shape_t, ret: *c.exports_api_shape_t) void {
    ret.* = value.*;
}

export fn exports_api_echo_color(value: c.exports_api_color_t) c.exports_api_color_t {
    return value;
}

export fn exports_api_echo_permissions(value: c.exports_api_permissions_t) c.exports_api_permissions_t {
    return value;
}

/// The outer option is a pointer on its way in and a boolean on its way out.
export fn exports_api_echo_nested(value: ?*c.kinds_option_s32_t, ret: *c.kinds_option_s32_t) bool {
    ret.* = (value orelse return false).*;
    return true;
}

const Outcomes =
    c.exports_api_tuple4_result_void_void_result_u32_void_result_void_string_result_list_u8_string_t;

export fn exports_api_echo_outcomes(value: *Outcomes, ret: *Outcomes) void {
    ret.* = value.*;
}

export fn exports_api_nothing() void {}

export fn exports_api_sum(numbers: *c.kinds_list_s64_t) i64 {
    defer c.kinds_list_s64_free(numbers);
    var sum: i64 = 0;
    for (items(numbers)) |number| sum +%= number;
    return sum;
}

fn parse(digits: []const u8) ?i64 {
    const magnitude = if (std.mem.startsWith(u8, digits, "-")) digits[1..] else digits;
    if (magnitude.len < 1 or magnitude.len > 19) return null;
    // `parseInt` alone takes a plus and underscores.
    for (magnitude) |byte| if (!std.ascii.isDigit(byte)) return null;
    return std.fmt.parseInt(i64, digits, 10) catch null;
}

export fn exports_api_sum_decimal(
    numbers: *c.kinds_list_string_t,
    ret: *c.kinds_string_t,
    err: *c.kinds_string_t,
) bool {
    defer c.kinds_list_string_free(numbers);
    var sum: i64 = 0;
    for (items(numbers)) |*number| {
        sum +%= parse(text(number)) orelse {
            err.* = copy(text(number));
            return false;
        };
    }
    ret.* = string(std.fmt.allocPrint(allocator, "{d}", .{sum}) catch trap());
    return true;
}

export fn exports_api_sum_halves(numbers: *c.exports_api_list_halves_t, ret: *c.exports_api_halves_t) void {
    defer c.exports_api_list_halves_free(numbers);
    var sum: i64 = 0;
    for (items(numbers)) |number| sum +%= (@as(i64, number.high) << 32) + number.low;
    ret.* = .{ .high = @intCast(sum >> 32), .low = @truncate(@as(u64, @bitCast(sum))) };
}

export fn exports_api_mean(numbers: *c.kinds_list_f64_t, ret: *f64) bool {
    defer c.kinds_list_f64_free(numbers);
    if (numbers.len == 0) return false;
    var sum: f64 = 0;
    for (items(numbers)) |number| sum += number;
    ret.* = sum / @as(f64, @floatFromInt(numbers.len));
    return true;
}

export fn exports_api_scale(numbers: *c.kinds_list_f32_t, factor: f32, ret: *c.kinds_list_f32_t) void {
    for (items(numbers)) |*number| number.* *= factor;
    ret.* = numbers.*;
}

export fn exports_api_reverse(value: *c.kinds_string_t, ret: *c.kinds_string_t) void {
    defer c.kinds_string_free(value);
    const reversed = allocator.alloc(u8, value.len) catch trap();
    var end = reversed.len;
    // Strings arrive as valid UTF-8.
    var scalars: std.unicode.Utf8Iterator = .{ .bytes = text(value), .i = 0 };
    while (scalars.nextCodepointSlice()) |scalar| {
        end -= scalar.len;
        @memcpy(reversed[end..][0..scalar.len], scalar);
    }
    ret.* = string(reversed);
}

export fn exports_api_crc32(bytes: *c.kinds_list_u8_t) u32 {
    defer c.kinds_list_u8_free(bytes);
    return std.hash.Crc32.hash(items(bytes));
}

fn before(_: void, left: c.kinds_string_t, right: c.kinds_string_t) bool {
    return std.mem.lessThan(u8, text(&left), text(&right));
}

export fn exports_api_sort(texts: *c.kinds_list_string_t, ret: *c.kinds_list_string_t) void {
    std.mem.sort(c.kinds_string_t, items(texts), {}, before);
    ret.* = texts.*;
}

fn wordBefore(_: void, left: []const u8, right: []const u8) bool {
    return std.mem.lessThan(u8, left, right);
}

export fn exports_api_count_words(value: *c.kinds_string_t, ret: *c.kinds_list_tuple2_string_u64_t) void {
    defer c.kinds_string_free(value);
    var words: std.ArrayList([]const u8) = .empty;
    defer words.deinit(allocator);
    var tokens = std.mem.tokenizeAny(u8, text(value), "\t\n\x0b\x0c\r ");
    while (tokens.next()) |word| words.append(allocator, word) catch trap();
    std.mem.sort([]const u8, words.items, {}, wordBefore);

    var counts: std.ArrayList(c.kinds_tuple2_string_u64_t) = .empty;
    for (words.items, 0..) |word, i| {
        if (i > 0 and std.mem.eql(u8, word, words.items[i - 1])) {
            counts.items[counts.items.len - 1].f1 += 1;
        } else {
            counts.append(allocator, .{ .f0 = copy(word), .f1 = 1 }) catch trap();
        }
    }
    const list = counts.toOwnedSlice(allocator) catch trap();
    ret.* = .{ .ptr = start(list), .len = list.len };
}

export fn exports_api_describe(shape: *c.exports_api_shape_t, ret: *c.kinds_string_t) void {
    defer c.exports_api_shape_free(shape);
    const rectangle = shape.val.rectangle;
    ret.* = string(switch (shape.tag) {
        c.EXPORTS_API_SHAPE_DOT => allocator.dupe(u8, "dot"),
        c.EXPORTS_API_SHAPE_CIRCLE => std.fmt.allocPrint(allocator, "circle of radius {d}", .{shape.val.circle}),
        c.EXPORTS_API_SHAPE_RECTANGLE => std.fmt.allocPrint(
            allocator,
            "rectangle of {d} by {d}",
            .{ rectangle.f0, rectangle.f1 },
        ),
        c.EXPORTS_API_SHAPE_POLYGON => std.fmt.allocPrint(
            allocator,
            "polygon of {d} points",
            .{shape.val.polygon.len},
        ),
        c.EXPORTS_API_SHAPE_LABEL => std.fmt.allocPrint(
            allocator,
            "label with {s}",
            .{text(&shape.val.label)},
        ),
        else => trap(),
    } catch trap());
}

export fn exports_api_unite(
    left: c.exports_api_permissions_t,
    right: c.exports_api_permissions_t,
) c.exports_api_permissions_t {
    return left | right;
}

export fn exports_api_divide(dividend: i32, divisor: i32, ret: *i32, err: *c.exports_api_division_error_t) bool {
    ret.* = std.math.divTrunc(i32, dividend, divisor) catch |failure| {
        err.* = switch (failure) {
            error.DivisionByZero => c.EXPORTS_API_DIVISION_ERROR_BY_ZERO,
            error.Overflow => c.EXPORTS_API_DIVISION_ERROR_OVERFLOW,
        };
        return false;
    };
    return true;
}

export fn exports_api_find(
    people: *c.exports_api_list_person_t,
    name: *c.kinds_string_t,
    ret: *c.exports_api_person_t,
) bool {
    defer c.kinds_string_free(name);
    var found = false;
    for (items(people)) |*person| {
        if (!found and std.mem.eql(u8, text(&person.name), text(name))) {
            ret.* = person.*; // moves
            found = true;
        } else {
            c.exports_api_person_free(person);
        }
    }
    // What is left is the list without its members.
    allocator.free(items(people));
    return found;
}
