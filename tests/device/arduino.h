/* What of Arduino's own header the example uses, to compile it without. */
struct Printed {
    void begin(long) {}
    void println(double) {}
};
static Printed Serial;
static inline void delay(unsigned long) {}
