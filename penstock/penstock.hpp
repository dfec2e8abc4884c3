// Everything of the core in one include. Each room can be had by itself: <penstock/queue/bounded_queue.hpp> …
#pragma once

#include <penstock/base/budget.hpp>
#include <penstock/base/interrupts.hpp>
#include <penstock/base/sleep.hpp>
#include <penstock/pipeline/pipeline.hpp>
#include <penstock/queue/bounded_queue.hpp>
