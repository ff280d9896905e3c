namespace Notify.Domain.Templates.Liquid;

using System.Globalization;
using System.Text.RegularExpressions;
using Fluid;
using Fluid.Values;

/// <summary>The filters for numbers. A number with a decimal point stays one, and without stays without, as in Liquid.</summary>
/// <remarks>
/// Shopify: Liquid reference, filters; its own implementation (lib/liquid/standardfilters.rb, utils.rb) where the reference is silent.
/// </remarks>
internal static partial class NumberFilters
{
    private const int MaxDigits = 28;

    /// <summary>The filters.</summary>
    public static IEnumerable<Filter> All =>
        [
            new("abs", (input, _, _) => Value(Math.Abs(Number(input)))),
            new("at_least", (input, given, _) => Value(Math.Max(Number(input), Number(given.At(0))))),
            new("at_most", (input, given, _) => Value(Math.Min(Number(input), Number(given.At(0))))),
            new("ceil", (input, _, _) => NumberValue.Create(decimal.Truncate(decimal.Ceiling(Number(input))))),
            new("floor", (input, _, _) => NumberValue.Create(decimal.Truncate(decimal.Floor(Number(input))))),
            new("plus", (input, given, _) => Value(Number(input) + Number(given.At(0)))),
            new("minus", (input, given, _) => Value(Number(input) - Number(given.At(0)))),
            new("times", (input, given, _) => Value(Number(input) * Number(given.At(0)))),
            new("divided_by", (input, given, _) => Divide(Number(input), Number(given.At(0)))),
            new("modulo", (input, given, _) => Value(Modulo(Number(input), Number(given.At(0))))),
            new("round", (input, given, _) => Round(Number(input), Number(given.At(0)))),
        ];

    /// <summary>A value as a number: of a text the number that it is, or the whole number at its beginning; else 0.</summary>
    public static decimal Number(FluidValue value)
    {
        if (value is NumberValue)
            return value.ToNumberValue();
        if (value is not StringValue)
            return 0;
        var text = value.ToStringValue().Trim();
        if (!Decimal().IsMatch(text))
            text = Beginning().Match(text).Value;
        return text.Length == 0 ? 0
            : decimal.TryParse(
                text,
                NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint,
                CultureInfo.InvariantCulture,
                out var number
            )
                ? number
            : throw new RenderStopped($"reads a number of more than {MaxDigits} digits");
    }

    /// <summary>A number as a value: with a decimal point, as close as a double comes to it; without, as it is.</summary>
    public static FluidValue Value(decimal number)
    {
        if (number.Scale == 0)
            return NumberValue.Create(number);
        // By its text: .NET converts a decimal to a double that may not be the closest.
        var closest = double.Parse(number.ToString(CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);
        var real = decimal.Parse(closest.ToString("R", CultureInfo.InvariantCulture), NumberStyles.Float, CultureInfo.InvariantCulture);
        return NumberValue.Create(real.Scale == 0 ? real * 1.0m : real);
    }

    private static FluidValue Divide(decimal dividend, decimal divisor)
    {
        if (dividend.Scale > 0 || divisor.Scale > 0)
            return Value(dividend / divisor * 1.0m);
        return NumberValue.Create(decimal.Truncate((dividend - Modulo(dividend, divisor)) / divisor)); // rounded down
    }

    // Has the sign of the divisor.
    private static decimal Modulo(decimal dividend, decimal divisor)
    {
        var rest = dividend % divisor;
        var signed = rest != 0 && rest < 0 != divisor < 0 ? rest + divisor : rest;
        return signed.Scale == 0 && (dividend.Scale > 0 || divisor.Scale > 0) ? signed * 1.0m : signed;
    }

    // Half away from zero; to tens and hundreds by a negative number of digits.
    private static FluidValue Round(decimal number, decimal places)
    {
        if (Math.Abs(places) > MaxDigits)
            throw new RenderStopped($"rounds to more than {MaxDigits} digits");
        var digits = (int)places;
        if (digits > 0)
            return number.Scale == 0
                ? NumberValue.Create(number)
                : Value(AsReal(Math.Round(number, digits, MidpointRounding.AwayFromZero)));
        if (digits == 0)
            return NumberValue.Create(decimal.Truncate(Math.Round(number, 0, MidpointRounding.AwayFromZero)));
        var unit = 1m;
        for (var i = digits; i < 0; i++)
            unit *= 10;
        var rounded = decimal.Truncate(Math.Round(number / unit, 0, MidpointRounding.AwayFromZero)) * unit;
        return number.Scale == 0 ? NumberValue.Create(rounded) : Value(AsReal(rounded));
    }

    private static decimal AsReal(decimal number) => number.Scale == 0 ? number * 1.0m : number;

    [GeneratedRegex(@"^-?[0-9]+\.[0-9]+\z")]
    private static partial Regex Decimal();

    [GeneratedRegex(@"^[+-]?[0-9]+")]
    private static partial Regex Beginning();
}
