namespace Notify.Sandbox.Sms;

using System.Buffers;

/// <summary>How many SMS a text takes (3GPP TS 23.038).</summary>
public static class SmsSegments
{
    private static readonly SearchValues<char> Basic = SearchValues.Create(
        "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
    );

    private static readonly SearchValues<char> Extended = SearchValues.Create("\f^{}\\[~]|€");

    /// <summary>GSM-7: 160, then 153 a part (extended characters count two); else UCS-2: 70, then 67. At least 1.</summary>
    public static int Count(ReadOnlySpan<char> text)
    {
        var septets = 0;
        foreach (var character in text)
        {
            if (Basic.Contains(character))
                septets++;
            else if (Extended.Contains(character))
                septets += 2;
            else
                return Parts(text.Length, 70, 67);
        }

        return Parts(septets, 160, 153);
    }

    /// <summary>Whether every character is of GSM-7, extended ones included.</summary>
    public static bool IsBasic(ReadOnlySpan<char> text)
    {
        foreach (var character in text)
        {
            if (!Basic.Contains(character) && !Extended.Contains(character))
                return false;
        }

        return true;
    }

    private static int Parts(int length, int single, int part) => length <= single ? 1 : (length + part - 1) / part;
}
