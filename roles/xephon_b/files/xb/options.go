package main

import (
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"
)

// Options of a run, by the names of Xephon-B's keys where it has them.
type Options struct {
	Addr     string        // kairosdb.addr
	Timeout  time.Duration // kairosdb.timeout
	Duration time.Duration
	Workers  int // worker.num

	BatchSeries int // series in a request
	BatchPoints int // points of each series in a request

	Prefix  string // the metric's name
	Series  int    // of each worker
	NumTags int
	Group   bool // groupPointsBySeries

	Interval time.Duration // between two points of a series

	Generator string
	Constant  float64
	Min, Max  float64

	Seed     int64
	Retries  int
	Requests string // file with a line for each request
	Report   string // file that verify takes
	Binary   string // Xephon-B's own program
}

func readOptions(words []string) (Options, error) {
	var o Options
	f := flag.NewFlagSet("xb run", flag.ContinueOnError)
	f.StringVar(&o.Addr, "addr", "http://127.0.0.1:8080", "where KairosDB is")
	f.DurationVar(&o.Timeout, "timeout", 5*time.Second, "a request that takes longer has failed")
	f.DurationVar(&o.Duration, "duration", 10*time.Second, "time under load")
	f.IntVar(&o.Workers, "worker.num", 4, "workers; each sends one request after the other")
	f.IntVar(&o.BatchSeries, "batch.series", 10, "series in a request")
	f.IntVar(&o.BatchPoints, "batch.points", 10, "points of each series in a request")
	f.StringVar(&o.Prefix, "series.prefix", "xb", "name of the metric")
	f.IntVar(&o.Series, "series.num", 10, "series of each worker")
	f.IntVar(&o.NumTags, "series.numTags", 2, "tags of a series, 2 or more: worker and series are the first two")
	f.BoolVar(&o.Group, "series.groupPointsBySeries", true, "send a series' points together, its tags once")
	f.DurationVar(&o.Interval, "time.interval", time.Millisecond, "time between two points of a series")
	f.StringVar(&o.Generator, "value.generator", "constant", "constant or random")
	f.Float64Var(&o.Constant, "value.constant.double", 12.3, "the constant value")
	f.Float64Var(&o.Min, "value.random.min", 0, "lower end of random values")
	f.Float64Var(&o.Max, "value.random.max", 100, "upper end of random values")
	f.Int64Var(&o.Seed, "seed", 1, "seed of random values")
	f.IntVar(&o.Retries, "retries", 3, "how often a request is sent again when it fails")
	f.StringVar(&o.Requests, "requests", "", "file to write a line to for each request")
	f.StringVar(&o.Report, "report", "", "file to write what verify needs")
	f.StringVar(&o.Binary, "binary", "", "path of Xephon-B's own program, to do the load in place of this one")
	if err := f.Parse(words); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("found %q, which belongs to no option", f.Arg(0))
	}
	return o, o.check(f)
}

// Options that Xephon-B has no key for.
var own = []string{"seed", "retries", "requests", "report"}

func (o Options) check(given *flag.FlagSet) error {
	var problems []error
	refuse := func(wrong bool, format string, values ...any) {
		if wrong {
			problems = append(problems, fmt.Errorf(format, values...))
		}
	}
	for name, value := range map[string]int{
		"worker.num": o.Workers, "batch.series": o.BatchSeries, "batch.points": o.BatchPoints, "series.num": o.Series,
	} {
		refuse(value < 1, "-%s is %d; give 1 or more", name, value)
	}
	refuse(o.NumTags < 2, "-series.numTags is %d; give 2 or more", o.NumTags)
	refuse(o.BatchSeries > o.Series, "-batch.series is %d, more than the %d of -series.num", o.BatchSeries, o.Series)
	refuse(o.Duration <= 0, "-duration is %s; give more than 0s", o.Duration)
	refuse(o.Timeout <= 0, "-timeout is %s; give more than 0s", o.Timeout)
	refuse(o.Interval < time.Millisecond || o.Interval%time.Millisecond != 0,
		"-time.interval is %s; KairosDB knows whole milliseconds", o.Interval)
	refuse(o.Generator != "constant" && o.Generator != "random",
		"-value.generator is %q; give constant or random", o.Generator)
	refuse(o.Min >= o.Max, "-value.random.min is %g, not below the %g of -value.random.max", o.Min, o.Max)
	refuse(o.Retries < 0, "-retries is %d; give 0 or more", o.Retries)
	refuse(!plain(o.Prefix), "-series.prefix is %q; use letters, digits and ._/-", o.Prefix)
	given.Visit(func(one *flag.Flag) {
		for _, name := range own {
			refuse(o.Binary != "" && one.Name == name, "Xephon-B has no option for -%s; leave it out with -binary", name)
		}
	})
	return errors.Join(problems...)
}

// plain says whether KairosDB takes a name, and JSON needs no escapes in it.
func plain(name string) bool {
	const others = "._/-"
	for _, r := range name {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !letter && !strings.ContainsRune(others, r) {
			return false
		}
	}
	return name != ""
}
