package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/libtsdb/libtsdb-go/libtsdb/client/genericw"
	"github.com/libtsdb/libtsdb-go/libtsdb/client/kairosdbw"
	"github.com/libtsdb/libtsdb-go/libtsdb/config"
)

const pause = 20 * time.Millisecond // before a failed request is sent again

// run sends points until the time is over; the report is the last line that is printed.
func run(ctx context.Context, o Options, out io.Writer) (err error) {
	requests := io.Discard
	if o.Requests != "" {
		file, failed := os.Create(o.Requests)
		if failed != nil {
			return failed
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		requests = file
	}
	fmt.Fprintf(out, "xb %s: %d workers, %d x %d points a request, to %s\n",
		version, o.Workers, o.BatchSeries, o.BatchPoints, o.Addr)
	first := time.Now()
	counter := newCounter(requests)
	deadline, cancel := context.WithDeadline(ctx, first.Add(o.Duration))
	defer cancel()
	newest := make([]int64, o.Workers)
	failures := make([]error, o.Workers)
	var group sync.WaitGroup
	for number := range o.Workers {
		group.Add(1)
		go func() {
			defer group.Done()
			newest[number], failures[number] = work(deadline, o, number, first.UnixMilli(), counter)
		}()
	}
	group.Wait()
	report := counter.report(time.Since(first))
	if err := errors.Join(append(failures, counter.flush())...); err != nil {
		return err
	}
	for message, times := range counter.messages {
		fmt.Fprintf(os.Stderr, "%d requests failed: %s\n", times, message)
	}
	if report.TotalRequests == report.FailedRequests {
		return fmt.Errorf("no request to %s succeeded", o.Addr)
	}
	if err := writeCounted(o, counted{o.Prefix, first.UnixMilli(), latest(newest), report.TotalPoints, report.FailedRequests}); err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(report)
}

// work sends one request after the other, and returns the time of its newest point.
func work(ctx context.Context, o Options, number int, first int64, counter *counter) (int64, error) {
	client, err := kairosdbw.NewHttp(config.KairosdbClientConfig{Addr: o.Addr, Timeout: o.Timeout})
	if err != nil {
		return 0, err
	}
	client.SetHttpClient(&http.Client{Timeout: o.Timeout})
	points := newGenerator(o, number, first)
	for ctx.Err() == nil {
		batch := points.next()
		counter.add(send(ctx, client, o, batch))
	}
	return points.newest(), nil
}

// send sends a batch, again when it fails: the same points at the same times, so that none is written twice.
func send(ctx context.Context, client *genericw.HttpClient, o Options, batch []series) request {
	begin := time.Now()
	var done request
	for try := 0; ; try++ {
		for _, one := range batch {
			one.write(client, o.Group)
		}
		err := client.Flush()
		trace := client.HttpTrace()
		done = request{
			latency: time.Since(begin), retries: try, points: trace.Points,
			payload: trace.PayloadSize, raw: trace.RawSize, meta: trace.RawMetaSize,
		}
		done.end = begin.Add(done.latency)
		if err == nil {
			return done
		}
		done.message = err.Error()
		if trace.StatusCode != 0 {
			done.message = fmt.Sprintf("status %d: %s", trace.StatusCode, done.message)
		}
		if try >= o.Retries {
			return done
		}
		time.Sleep(pause)
	}
}
